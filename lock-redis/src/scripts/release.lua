-- Lets go of everything that this owner has: a place in the queue, a lock kept for it, the lock itself.
--   ARGV: owner, its entry in the queue ('' if it never had one), 'reserved' to let go only of what is kept
-- Answers 1 if the lock was this owner's, else 0.
local call = redis.call
-- All of its places: a request to stand in line that arrived late has made a second one.
if ARGV[2] ~= '' then call('LREM', KEYS[3], 0, ARGV[2]) end
local value = call('GET', KEYS[1])
if not value then return 0 end
local token, owner, mark = string.match(value, HOLDER)
if owner ~= ARGV[1] then return 0 end
if ARGV[3] == 'reserved' and mark ~= 'reserved' then return 0 end
local DONE = mark == 'reserved' and 0 or 1
--include pass_on
