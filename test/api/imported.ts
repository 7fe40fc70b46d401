export const inspect = (value: unknown): string => JSON.stringify(value)
