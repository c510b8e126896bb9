-- Extends the lease of this owner and token to a whole TTL from now; one that lives longer stays as it is.
--   ARGV: owner, token, TTL in ms
-- Answers 1, or 0 when the lock is not this owner's. PEXPIRE needs no memory: this works when the server is full.
local value = redis.call('GET', KEYS[1])
if not value then return 0 end
local token, owner = string.match(value, HOLDER)
if owner ~= ARGV[1] or token ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
return 1
