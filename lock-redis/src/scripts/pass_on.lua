-- The lock of the token `last` (its value's, if that is nil) ends: the first waiter that lives has it next, or it is free.
-- (LPOP goes first: a script that has written something is not refused when memory is full, and this counts as writing.)
local entry = call('LPOP', KEYS[3])
if entry then
  last = last or string.match(value, '^{"token":(%d+)')
  --include time
  --include remember
  --include after_last
  local asks = false
  --include hand_on
  if handed then return DONE end
end
call('DEL', KEYS[1])
return DONE
