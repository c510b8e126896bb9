-- Takes the lock away from its holder, whoever that is, or only from the one with a certain token.
--   ARGV: the token, or '' for any
-- Answers {} when it is free, else the word 'broken' or 'differs', the lock's value and its remaining ms.
local value = redis.call('GET', KEYS[1])
if not value then return {} end
local left = redis.call('PTTL', KEYS[1])
local token, owner = holder(value)
if ARGV[1] ~= '' and ARGV[1] ~= token then return {'differs', value, left} end
pass_on(token or fresh_token())
-- The holder hears of it now instead of at its next renewal. To all nodes of a cluster: it listens on one of them.
local channel = string.match(value, '^{"token":%d+,"owner":"%x+",[^}]-"wake":"([^"]*)"')
if channel then redis.call('PUBLISH', channel, 'lost ' .. owner) end
return {'broken', value, left}
