-- The lock of `token` ends: the first waiter that lives has it next, or it is free.
-- Nobody hears the message to a waiter whose connection is gone: it is dead, and the next one's turn comes at once.
-- A waiter that was woken has CLAIM_MS to come for the lock: one that hangs delays the others by this.
local entry = call('LPOP', KEYS[3])
while entry do
  local waiter, channel, body = string.match(entry, '^(%x+) (%S+) (.*)$')
  if waiter and call(PUBLISH, channel, waiter .. ' ' .. KEYS[1]) > 0 then
    --include next_token
    token = next_token(token)
    if string.sub(token, -4) == '0000' then
      redis.pcall('SET', KEYS[2], string.sub(token, 1, -5) .. '9999', 'PX', LAST_TOKEN_MS)
    end
    local kept = redis.pcall('SET', KEYS[1], '{"token":' .. token .. ',"owner":"' .. waiter .. '","reserved":true,'
      .. body, 'PX', CLAIM_MS)
    if not kept.err then return DONE end
    -- Without memory for that (OOM), the waiter finds the lock free.
    break
  end
  entry = call('LPOP', KEYS[3])
end
call('DEL', KEYS[1])
-- What stands there is not smaller, should this fail.
redis.pcall('SET', KEYS[2], token, 'PX', LAST_TOKEN_MS)
return DONE
