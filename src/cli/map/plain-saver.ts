import { type FileHandle, open } from 'node:fs/promises'
import { BatchingSaver, type PendingLine } from './batching-saver.ts'
import { fileError } from './files.ts'
import type { Destination, SaverEvents } from './saver.ts'

/** A place to write to that cannot be continued: stdout, a pipe, a device, or a file of failures beside them. */
interface Sink {
  write(text: string): Promise<void>
  close(): Promise<void>
}

/** Writes lines to stdout (`output` undefined) or to a pipe or device, without a journal. */
export class PlainSaver extends BatchingSaver {
  readonly #sinks: Record<Destination, Sink | undefined>
  saved = 0

  private constructor(sinks: Record<Destination, Sink | undefined>, events: SaverEvents) {
    super(events)
    this.#sinks = sinks
  }

  /** @throws DicompError DICOMP_E_FILE when a file cannot be opened */
  static async open(
    output: string | undefined,
    errors: string | undefined,
    events: SaverEvents,
  ): Promise<PlainSaver> {
    const out = output === undefined ? stdoutSink() : await fileSink(output)
    return new PlainSaver({ out, err: errors === undefined ? undefined : await fileSink(errors) }, events)
  }

  protected override async writeBatch(lines: PendingLine[]): Promise<void> {
    for (const to of ['out', 'err'] as const) {
      const text = lines.map((line) => (line.to === to ? (line.text ?? '') : '')).join('')
      if (text) await this.#sinks[to]?.write(text)
    }
    this.saved += lines.length
  }

  protected override async finish(): Promise<void> {
    await this.#sinks.out?.close()
    await this.#sinks.err?.close()
  }
}

function stdoutSink(): Sink {
  const stream = process.stdout
  // The write's own callback has the error; without a listener the stream would raise it once more.
  stream.on('error', () => {})
  return {
    write: (text) =>
      new Promise((resolve, reject) => {
        stream.write(text, (error) => (error ? reject(fileError('write to', 'stdout', error)) : resolve()))
      }),
    close: async () => {},
  }
}

async function fileSink(path: string): Promise<Sink> {
  let file: FileHandle
  try {
    file = await open(path, 'w')
  } catch (error) {
    throw fileError('write to', path, error)
  }
  return {
    write: (text) =>
      file.writeFile(text).catch((error) => {
        throw fileError('write to', path, error)
      }),
    close: () => file.close(),
  }
}
