// An agent in Node.js: it serves a capability, registers, beats over the stream, and says goodbye on SIGTERM or Ctrl-C.
// And a caller: it discovers, selects an agent with a slot, calls it, and says how that went.
//
//   node client.mjs [ADDRESS]     of the registry, else ORION_ADDRESS, else 127.0.0.1:6746
//
// Protos are loaded as they stand, from ../../protos; nothing is generated.
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTOS = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'protos')
const FILES = ['v1/registry', 'v1/balancer', 'agent/v1/agent'].map((name) => `orion_registry_pb/${name}.proto`)
const { registry, agent } = grpc.loadPackageDefinition(
  loadSync(FILES, { includeDirs: [PROTOS], keepCase: true, longs: Number, enums: String, defaults: true }),
).orion

const AGENT_ID = process.env.AGENT_ID ?? `node-${hostname()}`
const CAPABILITY = 'text.reverse'
const SECRET = randomBytes(32).toString('base64url') // who knows it speaks for the service
const RECONNECT_MS = 2000 // never wait longer: the registry's grace is 6 s
const DEADLINE_MS = 5000

// As the registry's own SDK: the agent notices a dead registry within 4 s.
const OPTIONS = {
  'grpc.keepalive_time_ms': 2000,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_reconnect_backoff_ms': RECONNECT_MS,
}

const address = process.argv[2] ?? process.env.ORION_ADDRESS ?? '127.0.0.1:6746'
const plaintext = grpc.credentials.createInsecure()
const services = new registry.v1.RegistryService(address, plaintext, OPTIONS)
const balancer = new registry.v1.BalancerService(address, plaintext, OPTIONS)

/** Calls a unary method; rejects with a grpc.ServiceError. */
function call(client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + DEADLINE_MS
    client[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)))
  })
}

/** A google.protobuf.Duration in milliseconds. */
const ms = ({ seconds, nanos }) => seconds * 1000 + nanos / 1e6

// The agent.

const capabilities = {
  [CAPABILITY]({ text }) {
    if (typeof text !== 'string') throw new TypeError('text: a text is needed')
    return [...text].reverse().join('')
  },
}

/** Serves the capability; resolves to the port. AgentService is how BalancerClient.call reaches agents. */
function serve() {
  const server = new grpc.Server()
  server.addService(agent.v1.AgentService.service, {
    Call({ request }, answer) {
      try {
        const result = capabilities[request.capability](JSON.parse(request.arguments || '{}'))
        answer(null, { result: JSON.stringify(result) })
      } catch (error) {
        answer({ code: grpc.status.UNKNOWN, details: String(error) }) // the call has failed; its caller is told so
      }
    },
  })
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    )
  })
}

/** Registers the service; returns the right to speak for it. With the same secret it may be done again and again. */
async function register(port) {
  const service = {
    agent_id: AGENT_ID,
    service_name: 'text',
    host: '127.0.0.1',
    port,
    protocol: 'grpc',
    capabilities: [CAPABILITY],
    tags: ['node'],
    max_concurrency: 4,
  }
  const { service: known } = await call(services, 'RegisterService', { service, secret: SECRET })
  return { service_id: known.service_id, epoch: known.epoch, secret: SECRET }
}

let stream // the heartbeat stream that is open now
let stopping = false

/** One life of the heartbeat stream. Resolves when it has ended: with which error, and whether the ref is refused. */
function beat(ref, onAccepted) {
  return new Promise((resolve) => {
    let timer
    let seq = 0
    let refused = false
    const send = () => stopping || stream.write({ beat: { seq: ++seq } })
    const pace = ({ interval }) => {
      clearInterval(timer)
      timer = setInterval(send, ms(interval))
    }
    const end = (error) => {
      clearInterval(timer)
      resolve({ error, refused })
    }
    stream = services.Heartbeat()
    stream.write({ hello: { agent_id: AGENT_ID, sdk: 'node-example', sessions: [{ ref }] } })
    stream.on('data', (frame) => {
      if (frame.welcome) pace(frame.welcome)
      if (frame.ack) pace(frame.ack)
      // A drain: nothing new will come, and there is nothing here that would have to be finished.
      if (frame.command) stream.write({ command_ack: { nonce: frame.command.nonce } })
      if (frame.sessions) {
        const [{ epoch, error }] = frame.sessions.results
        refused = Boolean(error)
        if (refused) return stream.cancel()
        ref.epoch = epoch
        send() // the first beat: now it is HEALTHY
        onAccepted()
      }
    })
    stream.on('error', end)
    stream.on('end', () => end())
  })
}

const PASSING = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED, grpc.status.RESOURCE_EXHAUSTED]

/** Keeps the service alive, over restarts of the registry too, until it is stopped. */
async function live(port, onAccepted) {
  let ref
  while (!stopping) {
    try {
      ref ??= await register(port)
      const { error, refused } = await beat(ref, onAccepted)
      if (error?.code === grpc.status.ABORTED) throw new Error('superseded: another process acts for this agent')
      if (refused) ref = undefined // the registry forgot it, or has a newer epoch: register again
    } catch (error) {
      if (!PASSING.includes(error.code)) throw error
    }
    if (!stopping) await sleep(Math.random() * RECONNECT_MS) // full jitter: a thousand agents must not come at once
  }
}

/** Says goodbye: the registry takes the service out, and ends the stream once that is stored. */
function stop() {
  if (stopping) process.exit(1) // a second signal
  stopping = true
  stream?.write({ goodbye: { reason: 'GOODBYE_REASON_STOPPING' } })
  setTimeout(() => process.exit(1), DEADLINE_MS).unref() // there may be nobody to say it to
}

// The caller.

/** Discovers who can do it, selects one with a slot reserved, calls it, releases the slot with the outcome. */
async function callOnce() {
  const selector = { capabilities: [CAPABILITY] }
  const { services: found } = await call(services, 'DiscoverServices', { selector })
  for (const one of found) console.log(`discovered ${one.agent_id}/${one.service_name} ${one.status}`)

  const wanted = { selector, caller: 'node-example', wait_timeout: { seconds: 2 } }
  const { selections } = await call(balancer, 'SelectService', wanted)
  const { selection_id, service } = selections[0]
  console.log(`selected ${service.agent_id} at ${service.host}:${service.port}`)
  const target = new agent.v1.AgentService(`${service.host}:${service.port}`, plaintext)
  let outcome = 'CALL_OUTCOME_FAILED'
  try {
    const request = { capability: CAPABILITY, arguments: JSON.stringify({ text: 'orion' }) }
    const { result } = await call(target, 'Call', request)
    outcome = 'CALL_OUTCOME_SUCCEEDED'
    console.log(`called ${JSON.parse(result)}`)
  } finally {
    await call(balancer, 'ReleaseService', { selection_id, outcome })
    target.close()
  }
}

process.on('SIGTERM', stop)
process.on('SIGINT', stop)
const port = await serve()
let accepted
const ready = new Promise((resolve) => (accepted = resolve))
const life = live(port, accepted)
await Promise.race([ready, life])
if (!stopping) {
  console.log(`registered ${AGENT_ID}/text`)
  await callOnce()
  console.log('beating; Ctrl-C says goodbye')
}
await life
console.log('goodbye')
process.exit(0)
