/** Times and sizes of the cluster protocol, in one place. Why each has its value is said beside it. */

/** Of the messages between clients and nodes; another major number does not work together. */
export const PROTOCOL = 1

/** The oldest nats-server that we take: handshake-first TLS, ingest limits, consistent redelivery. */
export const MINIMUM_SERVER = '2.12.0'

/** A node says this often that it lives. Three missed ones (see LOST_AFTER_MS) mean recovery within 3 s. */
export const HEARTBEAT_MS = 700
/** A node that was not heard for this long is taken for dead. */
export const LOST_AFTER_MS = 2100
/** A client says this often that it lives, and what it needs. */
export const ALIVE_MS = 2000
/** What nodes hold for a client that was not heard for this long is stopped. Longer than a server restart. */
export const ORPHAN_MS = 30_000
/** JetStream redelivers a chunk whose lease was not renewed for this long: the last resort, see README.md. */
export const ACK_WAIT_MS = 15_000
/** Leases of all that a node holds are renewed this often. */
export const RENEW_MS = 5000
/** A chunk without PubAck after this long is published again. */
export const PUBACK_MS = 2000
/** A result that was not confirmed is sent again after this long; then after twice as long, up to RESEND_MAX_MS. */
export const RESEND_MS = 1000
export const RESEND_MAX_MS = 8000

/** Larger payloads go through the object store. JetStream likes messages below 1 MiB, its default limit. */
export const INLINE_BYTES = 256 << 10
/** Bytes per message of the object store (measured: 1 MiB is the fastest, and fits the default max_payload). */
export const BLOB_CHUNK_BYTES = 1 << 20
/** Largest single value (argument, result, captured values), bytes. @default 2 GB */
export const VALUE_LIMIT_BYTES = 2 ** 31
/** Blobs that nobody removed are collected after this long. */
export const BLOB_TTL_MS = 24 * 3_600_000
/** Work per chunk that we aim at, milliseconds. */
export const CHUNK_TARGET_MS = 40
/**
 * The same while much work waits. A chunk costs client, server and node about 4 ms together when slots keep all cores
 * busy, since their caches are cold then (`bench:cluster`, efficiency); and nothing waits longer than a chunk for its turn.
 */
export const LONG_CHUNK_TARGET_MS = 250
/** A chunk of no more work may wait at a node for a slot, milliseconds: so that none waits for the next one. */
export const SHORT_CHUNK_MS = 300
