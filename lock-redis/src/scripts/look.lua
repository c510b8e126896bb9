-- A waiter's look from time to time: messages can get lost, holders crash, keys be deleted.
--   ARGV: owner, its entry in the queue, for how many ms the queue lives without a look
-- Answers {} when another try is worth while; else the lock's remaining ms, how many wait before this one, and the
-- holder's token ('' if the lock is a foreign one).
local value = redis.call('GET', KEYS[1])
if not value then return {} end
local token, owner = string.match(value, HOLDER)
if owner == ARGV[1] then return {} end
local before = redis.call('LPOS', KEYS[3], ARGV[2])
-- The place is gone (its turn came and was missed, or the server lost its data): a new one, at the end.
if not before then before = redis.call('RPUSH', KEYS[3], ARGV[2]) - 1 end
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return {redis.call('PTTL', KEYS[1]), before, token or ''}
