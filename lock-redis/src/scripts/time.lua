-- A grant's time and its token: the server's time in microseconds.
local now = call('TIME')
local at = now[1] .. string.sub('00000' .. now[2], -6)
local token = at
