/** The part of it that is measured; the package has no types. */
declare module '@vates/nbd-client' {
  export default class NbdClient {
    constructor(target: { address: string; port: number });
    connect(): Promise<void>;
    readonly exportSize: bigint;
    readBlock(index: number, size: number): Promise<Uint8Array>;
    disconnect(): Promise<void>;
  }
}
