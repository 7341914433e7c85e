local skynet = require "skynet"
local queue = require "skynet.queue"

local ledger = tonumber(...)
local section = queue()

skynet.start(function()
	skynet.dispatch("lua", function(_, _, command, amount)
		section(function()
			if command == "limit" then
				skynet.retpack(100)
			else
				skynet.retpack(skynet.call(ledger, "lua", amount))
			end
		end)
	end)
end)
