-- The last token. Its expiry is set once a day (the first five digits of a time stay for 28 hours): that costs more than
-- all the rest of it. Without the key there is none to keep.
local had = call('SET', KEYS[2], token, 'KEEPTTL', 'GET')
if not had or string.sub(had, 1, 5) ~= string.sub(token, 1, 5) then
  call('SET', KEYS[2], token, 'PX', LAST_TOKEN_MS)
end
