import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Where dicomp keeps what has to stay: its nats-server, and the cluster of `dicomp up`. `DICOMP_HOME` moves it. */
export function dicompHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.DICOMP_HOME) return resolve(env.DICOMP_HOME)
  const home = homedir()
  if (process.platform === 'win32') {
    return join(env.LOCALAPPDATA || join(home, 'AppData', 'Local'), 'dicomp')
  }
  if (process.platform === 'darwin') return join(home, 'Library', 'Application Support', 'dicomp')
  return join(env.XDG_DATA_HOME || join(home, '.local', 'share'), 'dicomp')
}

/** Of `dicomp up`, where `--data` says nothing else. */
export const defaultDataDir = (): string => join(dicompHome(), 'cluster')

/** Of `dicomp engine install`. */
export const engineDir = (): string => join(dicompHome(), 'engine')

/** Where `dicomp engine install` puts nats-server. */
export const ownServer = (): string =>
  join(engineDir(), 'bin', process.platform === 'win32' ? 'nats-server.exe' : 'nats-server')
