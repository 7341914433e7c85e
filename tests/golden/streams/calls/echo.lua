local skynet = require "skynet"

local command = {}

function command.back(value)
	skynet.retpack(value)
end

function command.fail()
	error "no way"
end

function command.forget()
end

skynet.start(function()
	skynet.dispatch("lua", function(_, _, what, ...)
		command[what](...)
	end)
end)
