-- Takes the lock if it is free, or claims what is kept for this owner.
--   ARGV: owner, TTL in ms, record without token and owner
-- Answers the token, or, when somebody else has it: the lock's value, its remaining ms, the number of waiters.
local me, ttl, body = ARGV[1], ARGV[2], ARGV[3]
local value = redis.call('GET', KEYS[1])
if value then
  local token, owner, reserved = holder(value)
  if owner ~= me then return {value, redis.call('PTTL', KEYS[1]), redis.call('LLEN', KEYS[3])} end
  if reserved then
    redis.call('SET', KEYS[1], record(token, me, body), 'PX', ttl)
  else
    -- A second request of one acquisition: the same token; a lease is never shortened.
    redis.call('PEXPIRE', KEYS[1], ttl, 'GT')
  end
  return token
end
-- Free, by a release without waiters, or because the holder's lease ended. Whoever waits goes first.
local token = fresh_token()
local first, first_body = first_waiter(me)
if first and first ~= me then
  keep_for(first, first_body, token)
  return {redis.call('GET', KEYS[1]), CLAIM_MS, redis.call('LLEN', KEYS[3])}
end
redis.call('SET', KEYS[1], record(token, me, body), 'PX', ttl)
return token
