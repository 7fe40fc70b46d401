/** A terminal small enough to check by eye: text, newlines, carriage returns, cursor up, erase to the end. */
export class Screen {
  readonly isTTY = true
  columns = 60
  rows = 24
  #lines: string[] = ['']
  #row = 0
  #column = 0

  write = (chunk: string | Uint8Array): boolean => {
    const text = typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal reads control characters
    for (const token of text.match(/\u001b\[\d*[A-Za-z]|[\s\S]/g) ?? []) this.#apply(token)
    return true
  }

  /** What a person sees, without trailing blank lines. */
  get text(): string {
    return this.#lines.join('\n').replace(/\n+$/, '')
  }

  #apply(token: string): void {
    if (token === '\n') {
      this.#row++
      this.#column = 0
      this.#lines[this.#row] ??= ''
    } else if (token === '\r') {
      this.#column = 0
    } else if (token.startsWith('\u001b[')) {
      const count = Number(token.slice(2, -1) || 1)
      if (token.endsWith('A')) this.#row = Math.max(0, this.#row - count)
      else if (token.endsWith('J')) {
        this.#lines.length = this.#row + 1
        this.#lines[this.#row] = (this.#lines[this.#row] ?? '').slice(0, this.#column)
      } else throw new Error(`the screen does not know ${JSON.stringify(token)}`)
    } else {
      const line = (this.#lines[this.#row] ?? '').padEnd(this.#column)
      this.#lines[this.#row] = line.slice(0, this.#column) + token + line.slice(this.#column + 1)
      this.#column++
    }
  }
}
