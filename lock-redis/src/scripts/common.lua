-- What all steps share. Every step has the same keys, all in one cluster slot:
--   KEYS[1]  the lock: absent when free, a string with an expiry when held
--   KEYS[2]  a token that none granted so far is greater than
--   KEYS[3]  the waiters, first come first: "<owner> <channel> <record without token and owner>"
-- The line above this file sets CLAIM_MS, LAST_TOKEN_MS and PUBLISH.
-- The server's TIME is the only clock.

-- Tokens are decimal strings. Numbers in Lua are doubles, exact below 2^53, so a token is reckoned with in two
-- parts: what stands before its last six digits (seconds, for tokens made from TIME), and these.
local function parts(token)
  if #token <= 6 then return 0, tonumber(token) end
  return tonumber(string.sub(token, 1, -7)), tonumber(string.sub(token, -6))
end

local function joined(high, low)
  if low >= 1000000 then high, low = high + 1, low - 1000000 end
  if high == 0 then return string.format('%d', low) end
  return string.format('%d%06d', high, low)
end

local function plus(token, n)
  local high, low = parts(token)
  return joined(high, low + n)
end

-- Tokens of hand-offs follow each other by one, and KEYS[2] is written for ten thousand of them ahead: so a hand-off
-- needs no write of its own for it. It can't run ahead of the clock for good: the release that ends a row of hand-offs
-- writes the very token, and an expiry takes longer than the ten milliseconds that the ten thousand stand for.
local AHEAD = 10000

local function remember(token)
  redis.call('SET', KEYS[2], token, 'PX', LAST_TOKEN_MS)
end

-- The token of a grant that follows none: the time in microseconds, or the last one and one more should the clock
-- have gone back. Written before the lock is: a script that fails half-way is not rolled back.
local function fresh_token()
  local now = redis.call('TIME')
  local high, low = tonumber(now[1]), tonumber(now[2])
  local last = redis.call('GET', KEYS[2])
  if last and #last < 20 and string.match(last, '^%d+$') then
    local last_high, last_low = parts(plus(last, 1))
    if last_high > high or (last_high == high and last_low > low) then high, low = last_high, last_low end
  end
  local token = joined(high, low)
  remember(plus(token, AHEAD))
  return token
end

-- The token of a grant that follows another without a break.
local function next_token(token)
  token = plus(token, 1)
  if string.sub(token, -4) == '0000' then remember(plus(token, AHEAD)) end
  return token
end

-- Of a lock's value: token, owner, and whether it is only kept for that owner ("reserved"). Nothing, if it is foreign.
local function holder(value)
  local token, owner, mark = string.match(value, '^{"token":(%d+),"owner":"(%x+)","(%w+)"')
  return token, owner, mark == 'reserved'
end

local function record(token, owner, body)
  return '{"token":' .. token .. ',"owner":"' .. owner .. '",' .. body
end

-- Takes the first waiter that lives out of the queue and wakes it: its owner and record; nothing, if there is none.
-- Nobody hears the message to a waiter whose connection is gone: it is dead, and the next one's turn comes at once.
-- `me` needs no message.
local function first_waiter(me)
  while true do
    local entry = redis.call('LPOP', KEYS[3])
    if not entry then return end
    local owner, channel, body = string.match(entry, '^(%x+) (%S+) (.*)$')
    if owner and (owner == me or redis.call(PUBLISH, channel, owner .. ' ' .. KEYS[1]) > 0) then return owner, body end
  end
end

-- Keeps the lock for a waiter that was woken, until it comes for it: one that hangs delays the others by this.
local function keep_for(owner, body, token)
  redis.call('SET', KEYS[1], record(token, owner, '"reserved":true,' .. body), 'PX', CLAIM_MS)
end

-- The lock of `token` ends: the first waiter has it next, or it is free.
local function pass_on(token)
  local owner, body = first_waiter()
  if owner then
    if pcall(function() keep_for(owner, body, next_token(token)) end) then return end
  end
  -- Without memory for a reservation (OOM) the waiter that was woken finds the lock free.
  redis.call('DEL', KEYS[1])
  -- What stands there is not smaller, should this fail.
  redis.pcall('SET', KEYS[2], token, 'PX', LAST_TOKEN_MS)
end
