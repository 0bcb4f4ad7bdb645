-- The settings of the plugin iqra-authz.

local typedefs = require "kong.db.schema.typedefs"

return {
  name = "iqra-authz",
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    {
      config = {
        type = "record",
        fields = {
          -- Of iqra-authz, such as http://127.0.0.1:8080, without a path.
          { url = typedefs.url { required = true } },
          -- The caller token. A reference such as {vault://env/iqra-caller} keeps it out of the configuration.
          { caller = { type = "string", required = true, referenceable = true, encrypted = true } },
          -- Milliseconds to connect, to send and to wait; iqra-authz answers within its deadline of 250 ms.
          { timeout = { type = "integer", required = true, default = 1000, between = { 1, 60000 } } },
          -- Headers of the client from which gateway.yaml takes a business.
          { shown = { type = "array", required = true, default = { "X-Business" }, elements = typedefs.header_name } },
        },
      },
    },
  },
}
