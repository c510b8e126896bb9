-- The token of a grant that doesn't follow another without a break: the server's time in microseconds, or the last
-- token and one more, should the clock have gone back. KEYS[2] is written before the lock is, since a script that fails
-- half-way is not rolled back; and written for all tokens that differ in the last four digits alone, so that hand-offs
-- need not write it.
local now = call('TIME')
local token = now[1] .. string.sub('00000' .. now[2], -6)
local last = call('SET', KEYS[2], string.sub(token, 1, -5) .. '9999', 'PX', LAST_TOKEN_MS, 'GET')
-- Decimal strings of equal length compare as numbers do.
if last and (#last > #token or #last == #token and last >= token) and #last < 20 and string.find(last, '^%d+$') then
  --include next_token
  token = next_token(last)
  call('SET', KEYS[2], string.sub(token, 1, -5) .. '9999', 'PX', LAST_TOKEN_MS)
end
