-- A double of Kong around the plugin of deploy/gateways/kong: `kong`, `ngx` and `resty.http` as far as their documents say what the
-- plugin uses of them. A line of JSON on standard input is a request; the line of the answer says what Kong would do. Arguments: the
-- folder that holds kong/plugins, and the settings of the plugin as JSON.

local json = require "cjson"
local socket = require "socket"

package.path = arg[1] .. "/?.lua;" .. package.path
local settings = json.decode(arg[2])

-- lua-resty-http: request_uri over a real connection, closed by the other side.
local Client = {}
Client.__index = Client

function Client:set_timeouts(connect, send, read) self.timeouts = { connect, send, read } end

local function read_answer(connection)
  local line, fault = connection:receive("*l")
  if not line then return nil, fault end
  local status = tonumber(line:match("^HTTP/1%.%d (%d%d%d)"))
  if not status then return nil, "no HTTP" end
  local headers = {}
  while true do
    line, fault = connection:receive("*l")
    if not line then return nil, fault end
    if line == "" then break end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    -- Of several there is a list.
    local key, before = name:lower(), headers[name:lower()]
    headers[key] = before and { before, value } or value
  end
  local length = tonumber(headers["content-length"] or "0")
  local body = ""
  if length > 0 then body, fault = connection:receive(length) end
  if not body then return nil, fault end
  setmetatable(headers, { __index = function(all, name) return rawget(all, name:lower()) end })
  return { status = status, headers = headers, body = body }
end

function Client:request_uri(uri, options)
  local host, port, path = uri:match("^http://([^:/]+):(%d+)(/.*)$")
  local connection = socket.tcp()
  connection:settimeout(self.timeouts[1] / 1000)
  local ok, fault = connection:connect(host, tonumber(port))
  if not ok then return nil, fault end
  connection:settimeout(self.timeouts[3] / 1000)
  local lines = { options.method .. " " .. path .. " HTTP/1.1", "Host: " .. host, "Connection: close" }
  for name, values in pairs(options.headers) do
    if type(values) ~= "table" then values = { values } end
    for _, value in ipairs(values) do lines[#lines + 1] = name .. ": " .. value end
  end
  connection:send(table.concat(lines, "\r\n") .. "\r\n\r\n")
  local answer
  answer, fault = read_answer(connection)
  connection:close()
  return answer, fault
end

package.preload["resty.http"] = function()
  return { new = function() return setmetatable({}, Client) end }
end

-- What the schema says: only its defaults are read here.
package.preload["kong.db.schema.typedefs"] = function()
  return { url = function() return {} end, no_consumer = {}, protocols_http = {}, header_name = {} }
end

local function with_defaults(config)
  for _, field in ipairs(require("kong.plugins.iqra-authz.schema").fields) do
    for _, setting in ipairs(field.config and field.config.fields or {}) do
      local name, rule = next(setting)
      if config[name] == nil then config[name] = rule.default end
    end
  end
  return config
end

local config = with_defaults(settings)
local plugin = require "kong.plugins.iqra-authz.handler"

for line in io.lines() do
  local request = json.decode(line)
  local headers = request.headers
  local ended, logged
  ngx = {
    var = { request_uri = request.target, upstream_uri = request.upstream },
    req = {
      get_headers = function()
        local copy = {}
        for name, values in pairs(headers) do copy[name] = #values == 1 and values[1] or values end
        return copy
      end,
    },
  }
  kong = {
    log = { err = function(...) logged = table.concat({ ... }) end },
    client = { get_forwarded_ip = function() return "127.0.0.1" end },
    request = { get_method = function() return request.method end },
    service = {
      request = {
        clear_header = function(name) headers[name:lower()] = nil end,
        set_header = function(name, value) headers[name:lower()] = { value } end,
      },
    },
    response = {
      -- Ends the request, and the plugin with it.
      exit = function(status, body, answered)
        ended = { status = status, body = body, headers = answered }
        error(ended)
      end,
    },
  }
  local ok, fault = pcall(plugin.access, plugin, config)
  -- Kong answers an error of a plugin with 500.
  if not ok and fault ~= ended then ended = { status = 500, body = tostring(fault), headers = {} } end
  -- Behind all plugins Kong removes what Connection names.
  for _, value in ipairs(headers["connection"] or {}) do
    for name in value:lower():gmatch("[^,%s]+") do headers[name] = nil end
  end
  print(json.encode(ended and { answer = ended, logged = logged } or { passed = headers }))
  io.stdout:flush()
end
