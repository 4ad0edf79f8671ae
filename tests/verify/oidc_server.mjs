// A certified OpenID Connect server for one test: node oidc_server.mjs PORT KEYS CLIENTS
import { readFileSync } from 'node:fs'
import { Provider } from 'oidc-provider'

const [port, keys, clients] = [process.argv[2], ...process.argv.slice(3).map((path) => JSON.parse(readFileSync(path)))]
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: keys,
  clients: clients.map(({ email, verified, ...client }) => client),
  scopes: ['jobs:submit', 'rights:manage'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (context, resource) => ({
        scope: 'jobs:submit rights:manage',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (context, token) => {
    const client = clients.find((known) => known.client_id === token.clientId)
    return { email: client.email, email_verified: client.verified }
  },
})
provider.listen(Number(port), '127.0.0.1')
