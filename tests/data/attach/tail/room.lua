local skynet = require "skynet"
local desk = tonumber((...))

local function take()
	local name = skynet.call(desk, "lua", "label")
	return name
end

skynet.start(function()
	skynet.dispatch("lua", function()
		skynet.retpack(take())
	end)
end)
