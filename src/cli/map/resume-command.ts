/** The command line that goes on with this run, as it can be pasted into a shell. */
export function resumeCommand(argv: readonly string[]): string {
  const args = argv.slice(2).filter((arg) => arg !== '--overwrite' && arg !== '--resume')
  return ['dicomp', ...args, '--resume'].map(quote).join(' ')
}

function quote(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`
}
