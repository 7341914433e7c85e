-- A snax service that can be reached from other nodes. Its Python twin stands in tests/interop/counter.py.

local snax = require "skynet.snax"

local total = 0

function init(first)
	total = first or 0
	snax.enablecluster()
end

function accept.add(n)
	total = total + n
end

function response.get()
	return total
end

function response.refuse(why)
	error(why)
end
