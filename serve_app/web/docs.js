"use strict";

// Relative, so that it also works behind a proxy with a prefix; asks nobody but this server.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
