/** The part of MapLibre GL JS that the page uses. */

export interface LngLat { lng: number; lat: number }
export interface Bounds { getWest(): number; getEast(): number; getSouth(): number; getNorth(): number }
export interface MapMouseEvent { point: { x: number; y: number }; lngLat: LngLat; originalEvent: MouseEvent }
export interface GeoJSONSource { setData(data: object): Promise<void> }
export interface Toggle { enable(): void; disable(): void }
export type Events = {
  load: object;
  render: object;
  move: object;
  moveend: object;
  resize: object;
  mousemove: MapMouseEvent;
  mouseout: MapMouseEvent;
  click: MapMouseEvent;
  error: { error: Error };
};
export interface Camera { center?: [number, number]; zoom?: number; duration?: number; essential?: boolean; offset?: [number, number]; padding?: number | object }

export class Map {
  constructor(options: object);
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): unknown;
  once<E extends keyof Events>(event: E, listener: (event: Events[E]) => void): unknown;
  getCanvas(): HTMLCanvasElement;
  getCanvasContainer(): HTMLElement;
  getCenter(): LngLat;
  getZoom(): number;
  getBounds(): Bounds;
  getSource(id: string): GeoJSONSource | undefined;
  setStyle(style: object): this;
  setPaintProperty(layer: string, name: string, value: unknown): this;
  isMoving(): boolean;
  isStyleLoaded(): boolean;
  flyTo(camera: Camera): this;
  easeTo(camera: Camera): this;
  jumpTo(camera: Camera): this;
  panBy(offset: [number, number], camera?: Camera): this;
  project(lngLat: [number, number]): { x: number; y: number };
  zoomIn(): this;
  zoomOut(): this;
  fitBounds(bounds: [[number, number], [number, number]], camera?: Camera & { maxZoom?: number }): this;
  resize(): this;
  remove(): void;
  touchZoomRotate: Toggle & { disableRotation(): void };
  keyboard: Toggle & { disableRotation(): void };
}

export function addProtocol(name: string, load: (...asked: any[]) => any): void;
export function setWorkerCount(count: number): void;
