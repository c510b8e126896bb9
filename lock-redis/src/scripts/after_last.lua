-- Should the server's clock have gone back: the last token and one more. KEYS[2] is written before the lock is, since a
-- script that fails half-way is not rolled back.
-- Decimal strings of equal length compare as numbers do. Numbers here are doubles, exact below 2^53, so the last nine
-- digits are reckoned with by themselves.
if last and (#last > #token or #last == #token and last >= token) and #last < 20 and string.find(last, '^%d+$') then
  local low = tonumber(string.sub(last, -9)) + 1
  if low < 1000000000 then
    token = string.sub(last, 1, -10) .. string.format('%0' .. math.min(#last, 9) .. 'd', low)
  else
    token = string.format('%d', (tonumber(string.sub(last, 1, -10)) or 0) + 1) .. '000000000'
  end
  call('SET', KEYS[2], token, 'PX', LAST_TOKEN_MS)
end
