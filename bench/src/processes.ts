import { readFileSync } from 'node:fs';

/** Clock ticks a second, in which Linux counts processor time for its readers: the same everywhere. */
const TICKS = 100;

/** Seconds of processor time that a server has used so far, with all its threads and the processes that it has. */
export function processorTime(pid: number): number {
  const fields = statFields(pid);
  const own = (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS;
  return sum(childrenOf(pid).map(processorTime), own);
}

/** The same of all programs that this process has run to their end, and of those that these ran. */
export function processorTimeOfChildren(): number {
  const fields = statFields(process.pid);
  return (Number(fields[CUTIME]) + Number(fields[CSTIME])) / TICKS;
}

/** Bytes of memory that a server had at most so far: the resident sets of all its processes. */
export function peakMemory(pid: number): number {
  return sum(childrenOf(pid).map(peakMemory), memory(pid, 'VmHWM'));
}

/** Bytes of memory that a process has. */
export function residentMemory(pid: number): number {
  return memory(pid, 'VmRSS');
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

function sum(values: readonly number[], start: number): number {
  return values.reduce((total, value) => total + value, start);
}

function memory(pid: number, what: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${what}:\\s*(\\d+) kB$`, 'm').exec(status)![1]) * 1024;
}

// proc_pid_stat(5), counted from the field after the name, which may hold spaces.
const UTIME = 11;
const STIME = 12;
const CUTIME = 13;
const CSTIME = 14;

function statFields(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
