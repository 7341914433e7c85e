local skynet = require "skynet"
local socket = require "skynet.socket"

local function accept(id, addr)
	socket.start(id)
	local line = socket.readline(id)
	socket.write(id, line .. "\n")
	socket.close(id)
end

skynet.start(function()
	local addr = "127.0.0.1:" .. skynet.getenv "port"
	skynet.error("listen " .. addr)
	local lID = socket.listen(addr)
	assert(lID)
	socket.start(lID, accept)
end)
