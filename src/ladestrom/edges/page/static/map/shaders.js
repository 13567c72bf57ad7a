/** Programs that draw markers, numbers and pulses. Distances are in CSS pixels. */

const AHEAD = `#version 300 es
precision highp float;
uniform vec2 u_size;      // of the canvas
uniform vec3 u_view;      // what is added to a place, and what it is multiplied by before
uniform float u_ratio;    // device pixels to a pixel
vec4 clip(vec2 place, vec2 offset) {
  vec2 px = place * u_view.z + u_view.xy + offset;
  return vec4(px.x / u_size.x * 2.0 - 1.0, 1.0 - px.y / u_size.y * 2.0, 0.0, 1.0);
}
const vec2 CORNERS[4] = vec2[4](vec2(-1, -1), vec2(1, -1), vec2(-1, 1), vec2(1, 1));
`;

const FRAGMENT = `#version 300 es
precision highp float;
out vec4 o_color;
`;

export const MARKER = {
  vertex: `${AHEAD}
layout(location = 0) in vec2 a_place;
layout(location = 1) in float a_radius;
layout(location = 2) in float a_kind;   // 0 a cluster, 1 to 5 a state, 6 the ring of what is chosen
layout(location = 3) in vec4 a_shares;  // of the groups, each added to those before
out vec2 v_px;
flat out float v_radius;
flat out float v_kind;
flat out vec4 v_shares;
void main() {
  float reach = a_radius + 3.0;
  v_px = CORNERS[gl_VertexID] * reach;
  v_radius = a_radius;
  v_kind = a_kind;
  v_shares = a_shares;
  gl_Position = clip(a_place, v_px);
}`,
  fragment: `${FRAGMENT}
in vec2 v_px;
flat in float v_radius;
flat in float v_kind;
flat in vec4 v_shares;
uniform vec3 u_colors[6];  // available, partly, occupied, faulty, unknown, and the ring of what is chosen
uniform vec3 u_surface;
uniform vec3 u_text;
uniform float u_ratio;
float box(vec2 p, float half_side, float round) {
  vec2 q = abs(p) - half_side + round;
  return length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - round;
}
float triangle(vec2 p, float r) {
  const float k = 1.7320508;
  p.y = -p.y;
  p.x = abs(p.x) - r;
  p.y += r / k;
  if (p.x + k * p.y > 0.0) p = vec2(p.x - k * p.y, -k * p.x - p.y) / 2.0;
  p.x -= clamp(p.x, -2.0 * r, 0.0);
  return -length(p) * sign(p.y);
}
float inside(float d) { return clamp(0.5 - d * u_ratio, 0.0, 1.0); }
vec4 over(vec4 top, vec4 under) { return top + under * (1.0 - top.a); }
vec4 layer(vec3 color, float alpha) { return vec4(color * alpha, alpha); }
void main() {
  float d = length(v_px);
  float r = v_radius;
  vec4 color = layer(vec3(0.0), 0.22 * smoothstep(r + 3.0, r - 0.5, d));
  if (v_kind < 0.5) {
    // A ring of shares, clockwise from the top. Each group has a width of its own, so that rings can be read
    // without their colours.
    float turn = fract(atan(v_px.x, -v_px.y) / 6.2831853);
    float width = r * 0.34;
    vec3 tint = u_colors[4];
    float wide = 0.45;
    if (turn < v_shares.x) { tint = u_colors[0]; wide = 1.0; }
    else if (turn < v_shares.y) { tint = u_colors[2]; wide = 0.72; }
    else if (turn < v_shares.z) { tint = u_colors[3]; wide = fract(turn * r * 0.6) < 0.5 ? 0.85 : 0.4; }
    color = over(layer(u_surface, inside(d - r)), color);
    vec4 edges = abs(turn - v_shares);
    float nearest = min(min(edges.x, edges.y), min(edges.z, min(turn, 1.0 - turn)));
    bool is_whole = v_shares.x > 0.999 || (v_shares.x < 0.001 && (v_shares.y > 0.999 || (v_shares.y < 0.001 && (v_shares.z > 0.999 || v_shares.z < 0.001))));
    float gap = is_whole ? 1.0 : clamp(nearest * 6.2831853 * d - 0.2, 0.0, 1.0);
    float outer = r - 1.5;
    float ring = inside(d - outer) * inside((outer - width * wide) - d) * gap;
    color = over(layer(tint, ring), color);
  } else if (v_kind > 5.5) {
    color = layer(u_surface, inside(abs(d - r) - 3.0) * 0.8);
    color = over(layer(u_colors[5], inside(abs(d - r) - 1.6)), color);
  } else {
    float shape = d - r + 2.0;
    vec3 tint = u_colors[0];
    float hollow = -1.0;
    if (v_kind < 1.5) { tint = u_colors[0]; }
    else if (v_kind < 2.5) { tint = v_px.x < 0.0 ? u_colors[0] : u_colors[2]; }
    else if (v_kind < 3.5) { tint = u_colors[2]; shape = box(v_px, r - 2.6, 2.0); }
    else if (v_kind < 4.5) { tint = u_colors[3]; shape = triangle(v_px - vec2(0.0, 1.0), r - 1.6) ; }
    else { tint = u_colors[4]; hollow = r - 4.5; }
    color = over(layer(u_surface, inside(shape - 2.0)), color * inside(shape - 4.0));
    float filled = inside(shape);
    if (v_kind > 1.5 && v_kind < 2.5) filled *= clamp(abs(v_px.x) * u_ratio - 0.3, 0.0, 1.0);
    if (hollow > 0.0) filled *= inside(hollow - d);
    color = over(layer(tint, filled), color);
  }
  if (color.a < 0.004) discard;
  o_color = color;
}`,
};

export const LETTER = {
  vertex: `${AHEAD}
layout(location = 0) in vec2 a_place;
layout(location = 1) in float a_offset;  // of the letter's middle
layout(location = 2) in float a_letter;  // its column in the picture of letters
uniform vec3 u_cell;                     // width and height of a letter's cell, and how many there are
out vec2 v_at;
void main() {
  vec2 corner = CORNERS[gl_VertexID];
  v_at = vec2((a_letter + corner.x * 0.5 + 0.5) / u_cell.z, corner.y * 0.5 + 0.5);
  gl_Position = clip(a_place, corner * u_cell.xy * 0.5 + vec2(a_offset, 0.0));
}`,
  fragment: `${FRAGMENT}
in vec2 v_at;
uniform sampler2D u_letters;
uniform vec3 u_text;
void main() {
  float alpha = texture(u_letters, v_at).a;
  if (alpha < 0.01) discard;
  o_color = vec4(u_text * alpha, alpha);
}`,
};

export const PULSE = {
  vertex: `${AHEAD}
layout(location = 0) in vec2 a_place;
layout(location = 1) in float a_age;     // 0 when it begins, 1 at its end
layout(location = 2) in float a_kind;    // index of its group
out vec2 v_px;
flat out float v_age;
flat out float v_kind;
void main() {
  v_age = a_age;
  v_kind = a_kind;
  v_px = CORNERS[gl_VertexID] * (8.0 + 18.0 * v_age);
  gl_Position = clip(a_place, v_px);
}`,
  fragment: `${FRAGMENT}
in vec2 v_px;
flat in float v_age;
flat in float v_kind;
uniform vec3 u_colors[6];
uniform float u_ratio;
void main() {
  float r = 5.0 + 18.0 * v_age;
  float d = length(v_px);
  float fade = (1.0 - v_age) * (1.0 - v_age);
  float ring = clamp(0.5 - (abs(d - r) - 1.6) * u_ratio, 0.0, 1.0);
  float glow = 0.3 * smoothstep(r, 0.0, d);
  float alpha = fade * max(ring, glow);
  if (alpha < 0.01) discard;
  int kind = int(v_kind + 0.5);
  vec3 tint = kind == 0 ? u_colors[0] : kind == 1 ? u_colors[2] : kind == 2 ? u_colors[3] : u_colors[4];
  o_color = vec4(tint * alpha, alpha);
}`,
};
