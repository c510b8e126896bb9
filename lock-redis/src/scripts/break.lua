-- Takes the lock away from its holder, whoever that is, or only from the one with a certain token.
--   ARGV: the token, or '' for any
-- Answers {} when it is free, else the word 'broken' or 'differs', the lock's value and its remaining ms.
local call = redis.call
local value = call('GET', KEYS[1])
if not value then return {} end
local left = call('PTTL', KEYS[1])
local last, me = string.match(value, HOLDER)
if ARGV[1] ~= '' and ARGV[1] ~= last then return {'differs', value, left} end
-- The holder hears of it now instead of at its next renewal. In a cluster this goes to all nodes: it listens on one.
local channel = string.match(value, '^{"token":%d+,"owner":"%x+",[^}]-"wake":"([^"]*)"')
if channel then call('PUBLISH', channel, 'lost ' .. me .. ' ' .. last) end
local DONE = {'broken', value, left}
-- A foreign lock has no token.
if not last then last = call('GET', KEYS[2]) end
--include pass_on
