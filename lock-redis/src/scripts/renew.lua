-- Extends the lease of this owner and token to a whole TTL from now; one that lives longer stays as it is.
--   ARGV: owner, token, TTL in ms
-- Answers 1, or 0 when the lock is not this owner's. PEXPIRE needs no memory: this works when the server is full.
-- KEYS[1] is all it has: a lock whose slot is being moved is renewed wherever it is.
local value = redis.call('GET', KEYS[1])
-- (A pattern would cost more than all the rest.)
if not value or string.find(value, '{"token":' .. ARGV[2] .. ',"owner":"' .. ARGV[1] .. '"', 1, true) ~= 1 then
  -- A master that was demoted may lack what its successor has: a write makes it say so (READONLY). This one changes
  -- nothing, whosever the key is: no lease ends before now.
  redis.call('PEXPIRE', KEYS[1], '0', 'GT')
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
return 1
