export const double = (n: number): number => n * 2
export default (n: number): number => n + 1

export const shout = (text: string): string => `${text.toUpperCase()}!`
