-- Asks iqra-authz about a request: the action `iqra` of haproxy.cfg, where everything but an allow ends the request.

-- iqra-authz answers within its deadline of 250 ms.
local TIMEOUT_MS = 1000
local IDENTITY = { "x-iqra-user", "x-iqra-key", "x-iqra-business", "x-iqra-decision" }
-- Of the client's, what iqra-authz is shown. All values of each, since a repeated one is refused there. Where gateway.yaml takes the
-- business from a header, its name stands here.
local SHOWN = { "authorization", "x-business", "user-agent", "x-forwarded-for" }

local address = os.getenv("IQRA_AUTHZ") .. "/gateway/haproxy"
local caller = os.getenv("IQRA_CALLER")
assert(caller and caller ~= "", "IQRA_CALLER is not set: give HAProxy the caller token in its environment")

-- The first value of a header of an answer, an empty string where there is none.
local function first(headers, name)
  local values = headers[name]
  return values and values[0] or ""
end

local function ask(txn)
  local headers = {
    ["iqra-caller"] = { "Bearer " .. caller },
    ["x-original-method"] = { txn.f:method() },
    ["x-original-uri"] = { txn.f:pathq() },
  }
  local sent = txn.http:req_get_headers()
  for _, name in ipairs(SHOWN) do
    if sent[name] then
      -- HAProxy counts values from 0, and its client takes a list that counts from 1.
      local values = {}
      for index = 0, #sent[name] do values[index + 1] = sent[name][index] end
      headers[name] = values
    end
  end
  return core.httpclient():get({ url = address, headers = headers, timeout = TIMEOUT_MS })
end

core.register_action("iqra", { "http-req" }, function(txn)
  local answer = ask(txn)
  local status = answer and answer.status
  -- A 200 counts only if it names its decision: another program at that address lets nobody through.
  if status == 200 and first(answer.headers, "x-iqra-decision") ~= "" then
    for _, name in ipairs(IDENTITY) do txn.http:req_set_header(name, first(answer.headers, name)) end
    txn:set_var("txn.iqra", "allowed")
    return
  end
  if status ~= 401 and status ~= 403 and status ~= 429 and status ~= 503 then return end
  -- HAProxy's client answers 503 itself where nobody listens, in HTML.
  if not first(answer.headers, "content-type"):find("^application/json") then return end
  local reply = txn:reply({ status = status, body = answer.body })
  for _, name in ipairs({ "content-type", "retry-after", "www-authenticate" }) do
    local value = first(answer.headers, name)
    if value ~= "" then reply:add_header(name, value) end
  end
  txn:done(reply)
end, 0)
