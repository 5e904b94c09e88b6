// PostgreSQL's wire protocol, version 3, as far as a server in front of one backend needs it.
// https://www.postgresql.org/docs/17/protocol-message-formats.html

const STARTUP = 196_608 // protocol 3.0
const ENCRYPTION = [80_877_103, 80_877_104] // SSLRequest, GSSENCRequest
const COPY_FROM_STDIN = /\bCOPY\b[^;]*\bFROM\s+STDIN\b/i

export const NO_ENCRYPTION = Buffer.from('N')
export const COPY_IN = message('G', Buffer.from([0, 0, 0]))

// Yield each message of a client as { type, whole, body }: 'encryption' and 'startup' first, then the letters of the
// protocol, such as 'Q' for a query.
export async function* messages(socket) {
  const parts = []
  let size = 0
  let header = 4 // a startup message has no letter in front of its length
  let wanted = header
  for await (const chunk of socket) {
    parts.push(chunk)
    size += chunk.length
    if (size < wanted) continue
    let rest = Buffer.concat(parts)
    while (rest.length >= (wanted = wholeLength(rest, header))) {
      const found = parsed(rest.subarray(0, wanted), header)
      rest = rest.subarray(wanted)
      if (found.type === 'startup') header = 5
      yield found
    }
    parts.splice(0, parts.length, rest)
    size = rest.length
  }
}

function wholeLength(bytes, header) {
  return bytes.length < header ? header : header - 4 + bytes.readInt32BE(header - 4)
}

function parsed(whole, header) {
  const body = whole.subarray(header)
  if (header === 5) return { type: String.fromCharCode(whole[0]), whole, body }
  const code = body.readInt32BE(0)
  if (code === STARTUP) return { type: 'startup', whole, body: body.subarray(4) }
  return { type: ENCRYPTION.includes(code) ? 'encryption' : 'cancel', whole, body }
}

export function message(letter, body = Buffer.alloc(0)) {
  const header = Buffer.alloc(5)
  header.write(letter)
  header.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([header, body])
}

export function query(sql) {
  return message('Q', text(sql))
}

// Tell whether a message is COPY … FROM STDIN: 'alone', 'among others' in one query, or null.
export function copyFromStdin(found) {
  if (found.type !== 'Q') return null
  const match = COPY_FROM_STDIN.exec(found.body.toString('utf8', 0, 10_000))
  if (!match) return null
  return match.input.slice(0, match.index).trim() ? 'among others' : 'alone'
}

// What a server says to a client that it lets in.
export function welcome(parameters) {
  const statuses = Object.entries(parameters).map(([name, value]) => message('S', text(name, value)))
  const key = Buffer.concat([int32(1), int32(1)])
  return Buffer.concat([message('R', int32(0)), ...statuses, message('K', key), message('Z', Buffer.from('I'))])
}

// Return the session parameters of a startup message, those of its `options` (`-c name=value`) included.
export function settings(body) {
  const words = body.toString().split('\0')
  const all = {}
  for (let i = 0; i + 1 < words.length && words[i]; i += 2) all[words[i]] = words[i + 1]
  const { user, database, replication, options = '', ...rest } = all
  for (const option of options.matchAll(/(?:-c\s*|--)([\w.]+)=((?:\\.|[^\s\\])*)/g)) {
    rest[option[1]] = option[2].replace(/\\(.)/g, '$1')
  }
  return rest
}

// Split what the backend answered into its messages: [letter, whole].
export function* answers(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const next = at + 1 + bytes.readInt32BE(at + 1)
    yield [String.fromCharCode(bytes[at]), bytes.subarray(at, next)]
    at = next
  }
}

function text(...words) {
  return Buffer.from(words.map((word) => `${word}\0`).join(''))
}

function int32(number) {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(number)
  return bytes
}
