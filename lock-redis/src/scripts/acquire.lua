-- Takes the lock if it is free.
--   ARGV: owner, TTL in ms, record without its first fields; and to stand in line if the lock isn't free: the channel on
--   which the owner listens ('' if it doesn't wait, or stands there already), for how many ms it is kept for the owner
-- Answers the token, or, when somebody else has it: the lock's value, its remaining ms (-3: not asked for), and how many
-- wait: before this owner, if it has just joined them.
local call, me = redis.call, ARGV[1]
local value = call('GET', KEYS[1])
if value then
  if string.find(value, '"owner":"' .. me .. '"', 1, true) then
    -- It was handed to this waiter; or this is a second request of one acquisition. A lease is never shortened.
    call('PEXPIRE', KEYS[1], ARGV[2], 'GT')
    return (string.match(value, HOLDER))
  end
else
  -- Free, by a release without waiters, or because the holder's lease ended. Whoever waits goes first.
  -- (EXISTS: a script that has written something is not refused when memory is full, and LPOP counts as writing.)
  local entry = call('EXISTS', KEYS[3]) == 1 and call('LPOP', KEYS[3])
  --include time
  --include remember
  local last = had
  --include after_last
  if entry then
    local asks = true
    --include hand_on
    value = handed
  end
  if not value then
    call('SET', KEYS[1], '{"token":' .. token .. ',"owner":"' .. me .. '","at":' .. at .. ',' .. ARGV[3], 'PX', ARGV[2])
    return token
  end
end
if ARGV[4] == '' then return {value, call('PTTL', KEYS[1]), call('LLEN', KEYS[3])} end
-- When the lease ends is asked by its first look, which comes before long: most are served by then.
return {value, -3, call('RPUSH', KEYS[3], me .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[3]) - 1}
