-- The lock, with this token, becomes that of the first waiter that lives, from `entry` on; `handed` is its value then,
-- else nil. It is kept for as long as the entry says: by then the waiter has renewed it, or it hangs.
-- Nobody hears the message to a waiter whose connection is gone: it is dead, and the next one's turn comes at once.
local handed
while entry and not handed do
  -- (To walk through the body, too, would cost more than the rest of the pattern.)
  local waiter, channel, keep, rest = string.match(entry, '^(%x+) (%S+) (%d+) ()')
  if waiter == me then
    -- Who asks is the first itself. Who lets go has a place that came late.
    if asks then break end
  elseif waiter then
    handed = '{"token":' .. token .. ',"owner":"' .. waiter .. '","at":' .. at .. ',' .. string.sub(entry, rest)
    -- First the lock, then the message that it is theirs. Who may not be told finds out by its look.
    call('SET', KEYS[1], handed, 'PX', keep)
    if redis.pcall(PUBLISH, channel, waiter .. ' ' .. token .. ' ' .. KEYS[1]) == 0 then handed = nil end
  end
  entry = handed or call('LPOP', KEYS[3])
end
