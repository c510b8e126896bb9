-- Lets go of everything that this owner has: its place in the queue, the lock.
--   ARGV: owner, its entry in the queue ('' if it has none); to let go of one grant alone, its token
-- Answers 1 if the lock was this owner's, else 0.
local call, me = redis.call, ARGV[1]
-- All of its places: a request to stand in line that arrived late has made a second one.
if ARGV[2] ~= '' then call('LREM', KEYS[3], 0, ARGV[2]) end
local value = call('GET', KEYS[1])
-- Plain text is found five times as fast as a pattern is matched, which only a hand-over needs. (In the texts of a record
-- quotes have a backslash, so this stands in no label.)
local last, mine = nil, value and string.find(value, '"owner":"' .. me .. '"', 1, true)
if not mine or ARGV[3] and ARGV[3] ~= string.match(value, HOLDER) then
  -- A master that was demoted may lack what its successor has: a write makes it say so (READONLY). This changes nothing.
  call('PEXPIRE', KEYS[1], '0', 'GT')
  return 0
end
local DONE = 1
--include pass_on
