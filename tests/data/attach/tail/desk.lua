local skynet = require "skynet"
local hall = tonumber((...))

local function label()
	local n = skynet.call(hall, "lua", "count")
	return "seat " .. n
end

skynet.start(function()
	skynet.dispatch("lua", function()
		skynet.retpack(label())
	end)
end)
