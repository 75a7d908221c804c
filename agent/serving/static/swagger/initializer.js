"use strict";

// No validator: it would send the document to a server elsewhere.
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#routes",
  deepLinking: true,
  validatorUrl: null,
});
