-- Takes the lock if it is free, or claims what is kept for this owner.
--   ARGV: owner, TTL in ms, record without token and owner
-- Answers the token, or, when somebody else has it: the lock's value, its remaining ms, the number of waiters.
local call, me = redis.call, ARGV[1]
local value = call('GET', KEYS[1])
if value then
  local token, owner, mark = string.match(value, HOLDER)
  if owner ~= me then return {value, call('PTTL', KEYS[1]), call('LLEN', KEYS[3])} end
  if mark == 'reserved' then
    call('SET', KEYS[1], '{"token":' .. token .. ',"owner":"' .. me .. '",' .. ARGV[3], 'PX', ARGV[2])
  else
    -- A second request of one acquisition: the same token; a lease is never shortened.
    call('PEXPIRE', KEYS[1], ARGV[2], 'GT')
  end
  return token
end
-- Free, by a release without waiters, or because the holder's lease ended. Whoever waits goes first.
local entry = call('LPOP', KEYS[3])
local first, body
while entry do
  local channel
  first, channel, body = string.match(entry, '^(%x+) (%S+) (.*)$')
  if first == me then break end
  if first and call(PUBLISH, channel, first .. ' ' .. KEYS[1]) > 0 then break end
  entry, first = call('LPOP', KEYS[3]), nil
end
--include fresh_token
if first and first ~= me then
  value = '{"token":' .. token .. ',"owner":"' .. first .. '","reserved":true,' .. body
  call('SET', KEYS[1], value, 'PX', CLAIM_MS)
  return {value, CLAIM_MS, call('LLEN', KEYS[3])}
end
call('SET', KEYS[1], '{"token":' .. token .. ',"owner":"' .. me .. '",' .. ARGV[3], 'PX', ARGV[2])
return token
