-- One more. Numbers here are doubles, exact below 2^53, so the last nine digits are reckoned with by themselves.
local function next_token(token)
  local low = tonumber(string.sub(token, -9)) + 1
  if low < 1000000000 then return string.sub(token, 1, -10) .. string.format('%0' .. math.min(#token, 9) .. 'd', low) end
  return string.format('%d', (tonumber(string.sub(token, 1, -10)) or 0) + 1) .. '000000000'
end
