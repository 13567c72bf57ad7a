/**
 * Draws instances on a WebGL canvas of its own: markers, numbers, pulses.
 *
 * Knows programs, buffers and colours, and nothing of stations. A canvas apart from the map's lets a change be
 * shown without the ground being drawn again.
 */

import { LETTER, MARKER, PULSE } from "./shaders.js";

export const MARKER_FLOATS = 8;
/** x, y, radius, kind, four shares. */
export const LETTER_FLOATS = 4;
/** x, y, offset, letter. */
export const PULSE_FLOATS = 4;
/** x, y, age, group. */
const RATIO_MAX = 2;
/** More device pixels than so many to a pixel are not drawn: nobody sees them. */
const CELL_PX = [10, 18];
const FIRST_FLOATS = 4_096;

/** @typedef {{x: number, y: number, scale: number}} Placing what is added to places after they were multiplied by `scale` */
/** @typedef {Record<"available" | "partly" | "occupied" | "faulty" | "unknown" | "accent" | "surface" | "text", string>} Palette */

/** Instances of one kind, as numbers. */
export class Instances {
  /** @param {number} floats of one */
  constructor(floats) {
    this.floats = floats;
    this.count = 0;
    this.data = new Float32Array(FIRST_FLOATS);
  }

  clear() {
    this.count = 0;
  }

  /** @param {...number} values as many as one has */
  add(...values) {
    const start = this.count * this.floats;
    if (start + this.floats > this.data.length) {
      const larger = new Float32Array(this.data.length * 2);
      larger.set(this.data);
      this.data = larger;
    }
    for (let i = 0; i < values.length; i++) this.data[start + i] = values[i];
    this.count += 1;
  }
}

export class Canvas {
  /**
   * @param {HTMLCanvasElement} element
   * @param {string} letters all that numbers are written with
   * @throws {Error} WebGL 2 is not there
   */
  constructor(element, letters) {
    this.element = element;
    this.letters = letters;
    this.width = 0;
    this.height = 0;
    this._ratio = 1;
    /** @type {Palette | null} */
    this._palette = null;
    this._isLost = false;
    const gl = element.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("WebGL 2 is not there");
    this._gl = gl;
    element.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this._isLost = true;
    });
    element.addEventListener("webglcontextrestored", () => {
      this._isLost = false;
      this._prepare();
      if (this._palette) this.paint(this._palette);
    });
    this._prepare();
  }

  _prepare() {
    const gl = this._gl;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this._markers = new Layer(gl, MARKER, [2, 1, 1, 4]);
    this._letters = new Layer(gl, LETTER, [2, 1, 1]);
    this._pulses = new Layer(gl, PULSE, [2, 1, 1]);
  }

  /** Takes the size that the element has. */
  resize() {
    this._ratio = Math.min(RATIO_MAX, window.devicePixelRatio || 1);
    this.width = this.element.clientWidth;
    this.height = this.element.clientHeight;
    this.element.width = Math.round(this.width * this._ratio);
    this.element.height = Math.round(this.height * this._ratio);
  }

  /** Takes other colours. @param {Palette} palette */
  paint(palette) {
    this._palette = palette;
    if (this._isLost || !this._markers || !this._letters || !this._pulses) return;
    const gl = this._gl;
    const colors = [palette.available, palette.partly, palette.occupied, palette.faulty, palette.unknown, palette.accent];
    const flat = new Float32Array(colors.flatMap(rgb));
    for (const layer of [this._markers, this._pulses]) {
      layer.use();
      gl.uniform3fv(layer.uniform("u_colors"), flat);
    }
    this._markers.use();
    gl.uniform3fv(this._markers.uniform("u_surface"), rgb(palette.surface));
    this._letters.use();
    gl.uniform3fv(this._letters.uniform("u_text"), rgb(palette.text));
    gl.uniform3f(this._letters.uniform("u_cell"), CELL_PX[0], CELL_PX[1], this.letters.length);
    this._letters.texture(written(this.letters));
  }

  /** How far apart letters stand, in pixels. */
  static get letterPx() {
    return CELL_PX[0] - 2.6;
  }

  /**
   * Draws all instances; `isNew` says whether markers and letters are others than the last time.
   *
   * @param {Placing} placing
   * @param {Instances} markers
   * @param {Instances} letters
   * @param {Instances} pulses
   * @param {boolean} isNew
   */
  draw(placing, markers, letters, pulses, isNew) {
    if (this._isLost || !this._markers || !this._letters || !this._pulses) return;
    const gl = this._gl;
    gl.viewport(0, 0, this.element.width, this.element.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    /** @type {[Layer, Instances, boolean][]} */
    const passes = [
      [this._pulses, pulses, true],
      [this._markers, markers, isNew],
      [this._letters, letters, isNew],
    ];
    for (const [layer, instances, isOther] of passes) {
      if (instances.count === 0) continue;
      layer.use();
      gl.uniform2f(layer.uniform("u_size"), this.width, this.height);
      gl.uniform3f(layer.uniform("u_view"), placing.x, placing.y, placing.scale);
      gl.uniform1f(layer.uniform("u_ratio"), this._ratio);
      layer.draw(instances, isOther);
    }
  }
}

/** A program with the buffer of its instances. */
class Layer {
  /**
   * @param {WebGL2RenderingContext} gl
   * @param {{vertex: string, fragment: string}} source
   * @param {number[]} sizes floats of each attribute, by location
   */
  constructor(gl, source, sizes) {
    this._gl = gl;
    const program = gl.createProgram();
    for (const [kind, text] of /** @type {const} */ ([
      [gl.VERTEX_SHADER, source.vertex],
      [gl.FRAGMENT_SHADER, source.fragment],
    ])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program) ?? "a program of the map cannot be linked");
    }
    this._program = program;
    /** @type {Map<string, WebGLUniformLocation | null>} */
    this._uniforms = new Map();
    /** @type {WebGLTexture | null} */
    this._texture = null;
    this._bytes = 0;
    this._buffer = gl.createBuffer();
    this._array = gl.createVertexArray();
    gl.bindVertexArray(this._array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this._buffer);
    const stride = sizes.reduce((sum, size) => sum + size, 0) * 4;
    let offset = 0;
    sizes.forEach((size, location) => {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, stride, offset);
      gl.vertexAttribDivisor(location, 1);
      offset += size * 4;
    });
  }

  use() {
    this._gl.useProgram(this._program);
  }

  /** @param {string} name */
  uniform(name) {
    if (!this._uniforms.has(name)) this._uniforms.set(name, this._gl.getUniformLocation(this._program, name));
    return this._uniforms.get(name) ?? null;
  }

  /** @param {HTMLCanvasElement} picture */
  texture(picture) {
    const gl = this._gl;
    this._texture ??= gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this._texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  }

  /** @param {Instances} instances @param {boolean} isOther */
  draw(instances, isOther) {
    const gl = this._gl;
    gl.bindVertexArray(this._array);
    if (isOther) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this._buffer);
      const used = instances.data.subarray(0, instances.count * instances.floats);
      if (used.byteLength > this._bytes) {
        gl.bufferData(gl.ARRAY_BUFFER, instances.data, gl.DYNAMIC_DRAW);
        this._bytes = instances.data.byteLength;
      } else gl.bufferSubData(gl.ARRAY_BUFFER, 0, used);
    }
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, instances.count);
  }
}

/** A picture of letters side by side, each in a cell. @param {string} letters */
function written(letters) {
  const ratio = RATIO_MAX;
  const [width, height] = CELL_PX.map((px) => px * ratio);
  const picture = document.createElement("canvas");
  picture.width = width * letters.length;
  picture.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (picture.getContext("2d"));
  context.font = `600 ${12 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = "#fff";
  [...letters].forEach((letter, i) => context.fillText(letter, (i + 0.5) * width, height / 2 + ratio * 0.5));
  return picture;
}

/** Shares of red, green and blue of a colour `#rrggbb`. @param {string} color */
function rgb(color) {
  const value = Number.parseInt(color.trim().slice(1), 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}
