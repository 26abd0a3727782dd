import { readFileSync } from 'node:fs';

/** Clock ticks a second, in which Linux counts processor time for its readers: the same everywhere. */
const TICKS = 100;

/** Seconds of processor time that a process has used so far, with all its threads. */
export function processorTime(pid: number): number {
  const fields = statFields(pid);
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS;
}

/** The same of all programs that this process has run to their end, and of those that these ran. */
export function processorTimeOfChildren(): number {
  const fields = statFields(process.pid);
  return (Number(fields[CUTIME]) + Number(fields[CSTIME])) / TICKS;
}

/** Bytes of memory that a process had at most so far: its resident set. */
export function peakMemory(pid: number): number {
  return memory(pid, 'VmHWM');
}

/** Bytes of memory that a process has. */
export function residentMemory(pid: number): number {
  return memory(pid, 'VmRSS');
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
