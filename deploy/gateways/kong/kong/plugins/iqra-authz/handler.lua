-- Kong asks iqra-authz about every request before it proxies it. Needs Kong 3, and lua-resty-http, which is a part of it.

local http = require "resty.http"

-- After ip-restriction (990), which refuses more cheaply, and before whatever changes the request.
local IqraAuthz = { PRIORITY = 970, VERSION = "0.1.0" }

local IDENTITY = { "X-Iqra-User", "X-Iqra-Key", "X-Iqra-Business", "X-Iqra-Decision" }
local UNAVAILABLE =
  '{"Success":false,"Code":"UNAVAILABLE","Message":"The authorization service cannot answer now. Try again later."}'

-- What a client may not say, and headers by which a service may take the request for another one than was decided on. The first:
-- CGI-like servers read X_Iqra_User for X-Iqra-User, some X.Iqra.User, too; nginx alone would drop such, Kong does not.
local FORBIDDEN = {
  "[^%w%-]", "^x%-iqra%-", "^iqra%-", "^x%-original%-", "^x%-rewrite%-", "^x%-http%-method", "^x%-method%-override$",
  "^x%-forwarded%-method$", "^x%-forwarded%-uri$", "^x%-forwarded%-prefix$", "^forwarded$",
}

-- All that a client has to name in Connection.
local HOP = { close = true, ["keep-alive"] = true, upgrade = true, te = true, ["http2-settings"] = true }
local NAMED =
  '{"Success":false,"Code":"PERMISSION_DENIED","Message":"The header Connection names another header. Send it without that."}'

-- The first name in Connection, of all its values, that is none of those.
local function named_in(connection)
  local text = type(connection) == "table" and table.concat(connection, ",") or connection or ""
  for name in text:gmatch("[^,%s]+") do
    if not HOP[name:lower()] then return name end
  end
end

local function clear_forbidden(headers)
  for name in pairs(headers) do
    for _, pattern in ipairs(FORBIDDEN) do
      if name:lower():find(pattern) then kong.service.request.clear_header(name) end
    end
  end
end

local function unavailable(reason)
  kong.log.err("iqra-authz: ", reason)
  return kong.response.exit(503, UNAVAILABLE, { ["Content-Type"] = "application/json" })
end

local function ask(conf, headers, target)
  local asked = {
    ["Iqra-Caller"] = "Bearer " .. conf.caller,
    ["X-Forwarded-Method"] = kong.request.get_method(),
    ["X-Forwarded-Uri"] = target,
    ["X-Forwarded-For"] = kong.client.get_forwarded_ip(),
    -- All values of each, since a repeated one is refused there.
    ["Authorization"] = headers["authorization"],
    ["User-Agent"] = headers["user-agent"],
  }
  for _, name in ipairs(conf.shown) do asked[name] = headers[name:lower()] end
  local client = http.new()
  client:set_timeouts(conf.timeout, conf.timeout, conf.timeout)
  return client:request_uri(conf.url .. "/gateway/forwarded", { method = "GET", headers = asked })
end

function IqraAuthz:access(conf)
  -- 0: all of them. By default those behind the first hundred would be neither seen nor cleared.
  local headers = ngx.req.get_headers(0)
  -- INVARIANT: Kong removes what Connection names when all plugins have run, and would remove what is set below.
  if named_in(headers["connection"]) then
    return kong.response.exit(403, NAMED, { ["Content-Type"] = "application/json" })
  end
  clear_forbidden(headers)

  local target = ngx.var.request_uri
  -- INVARIANT: the service gets the path that is decided on. A route with strip_path, a path of the Kong service, or Kong's own
  -- normalisation would make another one of it.
  if ngx.var.upstream_uri ~= target:match("^[^?]*") then
    return unavailable("the path " .. ngx.var.upstream_uri .. " is not the one that the client sent; set strip_path to false")
  end

  local answer, fault = ask(conf, headers, target)
  if not answer then return unavailable(fault) end
  local decision = answer.headers["X-Iqra-Decision"]
  -- A 200 counts as an allow only if it names its decision: another program at that address lets nobody through.
  if answer.status == 200 and type(decision) == "string" and decision ~= "" then
    for _, name in ipairs(IDENTITY) do
      local value = answer.headers[name]
      if value and value ~= "" then kong.service.request.set_header(name, value) end
    end
    return
  end
  local status = answer.status
  local json = tostring(answer.headers["Content-Type"]):find("^application/json")
  if not json or (status ~= 401 and status ~= 403 and status ~= 429 and status ~= 503) then
    return unavailable("it answered with status " .. tostring(status))
  end
  return kong.response.exit(status, answer.body, {
    ["Content-Type"] = answer.headers["Content-Type"],
    ["Retry-After"] = answer.headers["Retry-After"],
    ["WWW-Authenticate"] = answer.headers["WWW-Authenticate"],
  })
end

return IqraAuthz
