// Training of convolution - ReLU - 2x2 max pool - linear networks on one core, without any library.
//
// Layout: a batch is cut into tiles of WIDE samples (one vector register), the rest into one tile of NARROW
// where it fits; inside a tile the samples are innermost: (channel, y, x, sample). So every inner operation
// is one weight times a vector of samples, and neither channels nor widths leave a remainder. Lanes without
// a sample get a loss gradient of zero. Linear layers take the whole batch at once: (feature, sample).
//
// Built twice, with REAL = float and double. Plain C interface at the end; nothing here throws.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#ifndef REAL
#define REAL float
#endif

namespace {

typedef REAL real;
typedef int64_t num;

#if defined(__AVX512F__)
const int BYTES = 64;
#elif defined(__AVX__)
const int BYTES = 32;
#else
const int BYTES = 16;
#endif
const int WIDE = BYTES / int(sizeof(real));
const int NARROW = BYTES > 16 ? WIDE / 2 : WIDE;

// Blocks are cut so that their sums stay in registers: 32 of them, or 16.
#if defined(__AVX512F__) || defined(__aarch64__)
const bool MANY = true;
#else
const bool MANY = false;
#endif

template <int bytes> struct Integer;
template <> struct Integer<4> { typedef int32_t type; };
template <> struct Integer<8> { typedef int64_t type; };

template <int W> struct Lanes {
    typedef real V __attribute__((vector_size(W * sizeof(real))));
    typedef typename Integer<sizeof(real)>::type Int;
    typedef Int I __attribute__((vector_size(W * sizeof(real))));
    typedef uint8_t B __attribute__((vector_size(W)));
    typedef real U __attribute__((vector_size(W * sizeof(real)), aligned(alignof(real))));  // at any address
};

template <int W> inline typename Lanes<W>::V load(const real* p) { return *(const typename Lanes<W>::V*)p; }
template <int W> inline typename Lanes<W>::V load_any(const real* p) { return *(const typename Lanes<W>::U*)p; }
template <int W> inline void store(real* p, typename Lanes<W>::V v) { *(typename Lanes<W>::V*)p = v; }
template <int W> inline typename Lanes<W>::V all(real s) { return s - typename Lanes<W>::V{}; }

inline num least(num a, num b) { return a < b ? a : b; }
inline num most(num a, num b) { return a > b ? a : b; }
inline num up(num n, num to) { return (n + to - 1) / to * to; }

// Memory that starts at zero, aligned to a cache line.
struct Buffer {
    real* p = nullptr;
    Buffer() {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(p); }
    bool make(num count) {
        num bytes = up(count * num(sizeof(real)) + 64, 64);
        p = (real*)std::aligned_alloc(64, size_t(bytes));
        if (p) std::memset(p, 0, size_t(bytes));
        return p != nullptr;
    }
};

// One layer as Python describes it. Linear: cin, cout only. Offsets are into the flat vector; bias < 0: none.
struct Layer {
    num conv, cin, h, w, cout, kh, kw, ph, pw, pool, relu, weight, bias;
};

// `count` things in blocks of nearly the same size, `limit` at most: the start of block b.
struct Blocks {
    num count, blocks;
    Blocks(num count, num limit) : count(count), blocks((count + limit - 1) / limit) {}
    num start(num b) const { return b * (count / blocks) + least(b, count % blocks); }
    num size(num b) const { return start(b + 1) - start(b); }
};

// ---- convolution ------------------------------------------------------------------------------------------

const int CHANNELS = MANY ? 6 : 2;  // output channels at once, each with 2 x 2 sums, beside 4 inputs and a weight

// A padded image (cin, rows, columns, W) and a kernel. Rows top <= y < bottom hold data, the others zeros.
struct Window {
    const real* in;
    num channel, row;  // strides in numbers
    num cin, kh, kw, top, bottom, left, right;
};

template <int W, int C, int S>
inline void correlate(const Window& a, const real* weights, num y, num x, typename Lanes<W>::V (&acc)[C][S][S]) {
    typedef typename Lanes<W>::V V;
    const num ky0 = most(0, a.top - y - (S - 1)), ky1 = least(a.kh, a.bottom - y);
    const num kx0 = most(0, a.left - x - (S - 1)), kx1 = least(a.kw, a.right - x);
    for (num ci = 0; ci < a.cin; ci++)
        for (num ky = ky0; ky < ky1; ky++) {
            const real* p = a.in + ci * a.channel + (y + ky) * a.row + (x + kx0) * W;
            const real* q = weights + ((ci * a.kh + ky) * a.kw + kx0) * C;
            for (num kx = kx0; kx < kx1; kx++, p += W, q += C) {
                V v[S][S];
                for (int i = 0; i < S; i++)
                    for (int j = 0; j < S; j++) v[i][j] = load<W>(p + i * a.row + j * W);
                for (int c = 0; c < C; c++) {
                    const V b = all<W>(q[c]);
                    for (int i = 0; i < S; i++)
                        for (int j = 0; j < S; j++) acc[c][i][j] += b * v[i][j];
                }
            }
        }
}

// Where the result of a convolution goes: (channel, y, x, W) with strides, and a byte per cell that says
// through which of the pooled cells the gradient returns: 0 ... 3, or 4 for none (the ReLU is shut).
struct Target {
    real* out;
    num channel, row;
    uint8_t* way;
    num way_channel, way_row;
    num width;  // of the convolution's result, before pooling
    bool pool, relu;
};

template <int W>
inline void settle(const Target& t, typename Lanes<W>::V v, typename Lanes<W>::I from, num c, num y, num x) {
    typedef typename Lanes<W>::V V;
    typedef typename Lanes<W>::I I;
    typedef typename Lanes<W>::B B;
    if (t.relu) {
        const I shut = v <= V{};  // false for NaN, which stays
        v = shut ? V{} : v;
        from = shut ? I{} + 4 : from;
    }
    store<W>(t.out + c * t.channel + y * t.row + x * W, v);
    if (t.way) *(B*)(t.way + c * t.way_channel + y * t.way_row + x * W) = __builtin_convertvector(from, B);
}

template <int W, int C, int S>
inline void cells(const Window& a, const real* weights, const real* bias, const Target& t, num y, num x) {
    typedef typename Lanes<W>::V V;
    typedef typename Lanes<W>::I I;
    V acc[C][S][S];
    for (int c = 0; c < C; c++)
        for (int i = 0; i < S; i++)
            for (int j = 0; j < S; j++) acc[c][i][j] = all<W>(bias ? bias[c] : real(0));
    correlate<W, C, S>(a, weights, y, x, acc);
    if (S == 2 && t.pool) {
        for (int c = 0; c < C; c++) {
            V best = acc[c][0][0];
            I from{};
            for (int k = 1; k < 4; k++) {  // the first of equals, as torch has it
                const V v = acc[c][(k / 2) % S][(k % 2) % S];
                const I more = v > best;
                best = more ? v : best;
                from = more ? I{} + k : from;
            }
            settle<W>(t, best, from, c, y / 2, x / 2);
        }
        return;
    }
    for (int c = 0; c < C; c++)
        for (int i = 0; i < S; i++)
            for (int j = 0; j < S; j++) settle<W>(t, acc[c][i][j], I{}, c, y + i, x + j);
}

template <int W, int C>
void rows(const Window& a, const real* weights, const real* bias, const Target& t, num y, num count) {
    num x = 0;
    if (count == 2)
        for (; x + 1 < t.width; x += 2) cells<W, C, 2>(a, weights, bias, t, y, x);
    if (count == 2 && t.pool) return;
    for (; x < t.width; x++)
        for (num i = 0; i < count; i++) cells<W, C, 1>(a, weights, bias, t, y + i, x);
}

template <int W> struct Rows {
    typedef void (*Run)(const Window&, const real*, const real*, const Target&, num, num);
    static Run of(num channels) {
        static const Run table[] = {rows<W, 1>, rows<W, 2>, rows<W, 3>, rows<W, 4>, rows<W, 5>, rows<W, 6>};
        return table[channels - 1];
    }
};

// weights packed as [block of output channels][cin][ky][kx][channel of the block]
template <int W>
void convolve(const Window& a, const real* packed, const real* bias, num cout, num height, const Target& t) {
    const Blocks blocks(cout, CHANNELS);
    const num span = a.cin * a.kh * a.kw;
    for (num y = 0; y < height; y += 2) {
        const num count = least(2, height - y);
        if (count == 1 && t.pool) break;
        for (num b = 0; b < blocks.blocks; b++) {
            const num c = blocks.start(b);
            Target own = t;
            own.out += c * t.channel;
            if (own.way) own.way += c * t.way_channel;
            Rows<W>::of(blocks.size(b))(a, packed + c * span, bias ? bias + c : nullptr, own, y, count);
        }
    }
}

void pack(const Layer& s, const real* weights, real* out) {
    const Blocks blocks(s.cout, CHANNELS);
    const num span = s.cin * s.kh * s.kw;
    for (num b = 0; b < blocks.blocks; b++) {
        const num first = blocks.start(b), size = blocks.size(b);
        for (num k = 0; k < span; k++)
            for (num c = 0; c < size; c++) out[first * span + k * size + c] = weights[(first + c) * span + k];
    }
}

// The same for the gradient of the input: channels exchanged, kernel turned round.
void pack_turned(const Layer& s, const real* weights, real* out) {
    const Blocks blocks(s.cin, CHANNELS);
    const num kernel = s.kh * s.kw, span = s.cout * kernel;
    for (num b = 0; b < blocks.blocks; b++) {
        const num first = blocks.start(b), size = blocks.size(b);
        for (num co = 0; co < s.cout; co++)
            for (num k = 0; k < kernel; k++)
                for (num c = 0; c < size; c++)
                    out[first * span + (co * kernel + k) * size + c] =
                        weights[(co * s.cin + first + c) * kernel + (kernel - 1 - k)];
    }
}

// (cout, cin, kh, kw) <-> (cout, kh, stretch) with the channels innermost, for layers that are pooled
void pack_stretches(const Layer& s, num stretch, const real* weights, real* out) {
    for (num co = 0; co < s.cout; co++)
        for (num ci = 0; ci < s.cin; ci++)
            for (num ky = 0; ky < s.kh; ky++)
                for (num kx = 0; kx < s.kw; kx++)
                    out[(co * s.kh + ky) * stretch + kx * s.cin + ci] = *weights++;
}

void unpack_stretches(const Layer& s, num stretch, const real* sums, real* out) {
    for (num co = 0; co < s.cout; co++)
        for (num ci = 0; ci < s.cin; ci++)
            for (num ky = 0; ky < s.kh; ky++)
                for (num kx = 0; kx < s.kw; kx++)
                    *out++ = sums[(co * s.kh + ky) * stretch + kx * s.cin + ci];
}

// ---- gradient of a convolution's weights ------------------------------------------------------------------

const int SLOPES = MANY ? 5 : 2;  // output channels at once, each with up to 5 columns of the kernel
const num STRIP = 24 * 1024;      // bytes of output gradient that stay in the first cache over a kernel's rows

// acc[c][k] += sum over rows y0 ... y1 and all x of dy[c][y][x] * in[y][x + k], lane by lane
template <int W, int C, int K>
void slopes(const real* in, num in_row, const real* dy, num dy_channel, num dy_row, num y0, num y1, num width,
            real* sums, num stride) {
    typedef typename Lanes<W>::V V;
    V acc[C][K];
    for (int c = 0; c < C; c++)
        for (int k = 0; k < K; k++) acc[c][k] = load<W>(sums + c * stride + k * W);
    for (num y = y0; y < y1; y++) {
        const real *p = in + y * in_row, *q = dy + y * dy_row;
        for (num x = 0; x < width; x++, p += W, q += W) {
            V v[K];
            for (int k = 0; k < K; k++) v[k] = load<W>(p + k * W);
            for (int c = 0; c < C; c++) {
                const V d = load<W>(q + c * dy_channel);
                for (int k = 0; k < K; k++) acc[c][k] += d * v[k];
            }
        }
    }
    for (int c = 0; c < C; c++)
        for (int k = 0; k < K; k++) store<W>(sums + c * stride + k * W, acc[c][k]);
}

template <int W> struct Slopes {
    typedef void (*Run)(const real*, num, const real*, num, num, num, num, num, real*, num);
    template <int K> static Run row(num channels) {
        static const Run table[] = {slopes<W, 1, K>, slopes<W, 2, K>, slopes<W, 3, K>, slopes<W, 4, K>, slopes<W, 5, K>};
        return table[channels - 1];
    }
    static Run of(num channels, num columns) {
        return columns == 5 ? row<5>(channels) : columns == 3 ? row<3>(channels) : row<1>(channels);
    }
};

template <int W> inline real total(const real* lanes) {
    real half[W];
    for (int l = 0; l < W; l++) half[l] = lanes[l];
    for (int n = W / 2; n > 0; n /= 2)
        for (int l = 0; l < n; l++) half[l] += half[l + n];
    return half[0];
}

// ---- backward through a pool ------------------------------------------------------------------------------

// Behind a 2x2 pool at most a quarter of the slopes is not zero, behind a ReLU some half of those, at other
// places in every sample. So here samples are taken one by one: a list of the slopes that are not zero, and an
// image with the channels innermost (y, x, cin), in which a row of the kernel is one stretch of kw * cin
// numbers. The gradient of a channel's weights stays in registers over its list; so do the weights where the
// gradient of the input is added up.

struct Strokes {  // a sample's list: window corners in its image, and slopes; those of channel c from start[c]
    const int32_t *corner, *start;
    const real* slope;
};

template <int R, int N>
void gather_slopes(const real* image, num row, const int32_t* corner, const real* slope, num count, real* sums,
                   num stretch) {
    typedef typename Lanes<WIDE>::V V;
    V acc[R][N];
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) acc[r][n] = load<WIDE>(sums + r * stretch + n * WIDE);
    for (num i = 0; i < count; i++) {
        const real* p = image + corner[i];
        const V g = all<WIDE>(slope[i]);
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) acc[r][n] += g * load_any<WIDE>(p + r * row + n * WIDE);
    }
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) store<WIDE>(sums + r * stretch + n * WIDE, acc[r][n]);
}

template <int R, int N>
void scatter_slopes(real* image, num row, const int32_t* corner, const real* slope, num count, const real* weights,
                    num stretch) {
    typedef typename Lanes<WIDE>::V V;
    V w[R][N];
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) w[r][n] = load<WIDE>(weights + r * stretch + n * WIDE);
    for (num i = 0; i < count; i++) {
        real* p = image + corner[i];
        const V g = all<WIDE>(slope[i]);
        for (int r = 0; r < R; r++)
            for (int n = 0; n < N; n++) {
                real* at = p + r * row + n * WIDE;
                *(typename Lanes<WIDE>::U*)at = load_any<WIDE>(at) + g * w[r][n];
            }
    }
}

struct Stretches {
    typedef void (*Gather)(const real*, num, const int32_t*, const real*, num, real*, num);
    typedef void (*Scatter)(real*, num, const int32_t*, const real*, num, const real*, num);
    template <int R> static Gather gather(num n) {
        return n == 5 ? gather_slopes<R, 5> : n == 2 ? gather_slopes<R, 2> : gather_slopes<R, 1>;
    }
    template <int R> static Scatter scatter(num n) {
        return n == 5 ? scatter_slopes<R, 5> : n == 2 ? scatter_slopes<R, 2> : scatter_slopes<R, 1>;
    }
    // calls run(rows, vectors, first row, first vector) for blocks of at most 5 x 5 that cover the kernel
    template <class Run> static void cover(num rows, num vectors, Run run) {
        for (num r = 0; r < rows;) {
            const num more = rows - r, height = more >= 5 ? 5 : more >= 3 ? 3 : 1;
            for (num n = 0; n < vectors;) {
                const num left = vectors - n, width = MANY && left >= 5 ? 5 : left >= 2 ? 2 : 1;
                run(height, width, r, n);
                n += width;
            }
            r += height;
        }
    }
    static void weights(const Strokes& s, num channels, num kh, const real* image, num row, real* sums, num stretch) {
        for (num c = 0; c < channels; c++) {
            const int32_t at = s.start[c], count = s.start[c + 1] - at;
            if (count)
                cover(kh, stretch / WIDE, [&](num height, num width, num r, num n) {
                    const Gather go = height == 5 ? gather<5>(width) : height == 3 ? gather<3>(width) : gather<1>(width);
                    go(image + r * row + n * WIDE, row, s.corner + at, s.slope + at, count,
                       sums + (c * kh + r) * stretch + n * WIDE, stretch);
                });
        }
    }
    static void inputs(const Strokes& s, num channels, num kh, real* image, num row, const real* weights, num stretch) {
        for (num c = 0; c < channels; c++) {
            const int32_t at = s.start[c], count = s.start[c + 1] - at;
            if (count)
                cover(kh, stretch / WIDE, [&](num height, num width, num r, num n) {
                    const Scatter go =
                        height == 5 ? scatter<5>(width) : height == 3 ? scatter<3>(width) : scatter<1>(width);
                    go(image + r * row + n * WIDE, row, s.corner + at, s.slope + at, count,
                       weights + (c * kh + r) * stretch + n * WIDE, stretch);
                });
        }
    }
};

// ---- the convolutions of a tile of W samples --------------------------------------------------------------

struct Shape {
    Layer s;
    num oh, ow, ch, cw;  // result before and after pooling
    num hp, wp;          // padded input
    num qy, qx;          // zeros around the gradient of the result
    num in_size, way_size;
    num stretch;     // a row of the kernel, kw * cin, in whole vectors
    num image_size;  // a sample with the channels innermost, and what a vector may read behind it
    void set(const Layer& layer) {
        s = layer;
        oh = s.h + 2 * s.ph - s.kh + 1;
        ow = s.w + 2 * s.pw - s.kw + 1;
        ch = s.pool ? oh / 2 : oh;
        cw = s.pool ? ow / 2 : ow;
        hp = s.h + 2 * s.ph;
        wp = s.w + 2 * s.pw;
        qy = s.kh - 1 - s.ph;
        qx = s.kw - 1 - s.pw;
        in_size = s.cin * hp * wp;
        way_size = s.cout * ch * cw;
        stretch = up(s.kw * s.cin, WIDE);
        image_size = up(in_size + WIDE, WIDE);
    }
};

const int DEEPEST = 16;

template <int W> struct Convolutions {
    typedef typename Lanes<W>::V V;
    typedef typename Lanes<W>::I I;
    typedef typename Lanes<W>::B B;
    num count = 0;
    const Shape* shapes = nullptr;
    Buffer in[DEEPEST], way[DEEPEST], dy[DEEPEST], dout[DEEPEST], sums;
    Buffer image, slopes_at, corners, starts;  // of the samples of one tile, for any layer
    num longest = 0, deepest = 0;

    bool make(num layers, const Shape* given, num slots) {
        count = layers;
        shapes = given;
        num most_sums = 0, largest = 0;
        for (num l = 0; l < count; l++) {
            const Shape& g = shapes[l];
            if (!in[l].make(slots * g.in_size * W)) return false;
            if (!way[l].make(slots * g.way_size * W / num(sizeof(real)) + W)) return false;
            if (!dout[l].make(g.way_size * W)) return false;
            if (g.s.pool) {
                longest = most(longest, g.way_size);
                deepest = most(deepest, g.s.cout + 1);
                largest = most(largest, g.image_size);
            } else {
                if (!dy[l].make(g.s.cout * (g.oh + 2 * g.qy) * (g.ow + 2 * g.qx) * W)) return false;
                most_sums = most(most_sums, SLOPES * g.s.cin * g.s.kh * g.s.kw * W);
            }
        }
        return image.make(W * largest) && slopes_at.make(W * (longest + 1)) && corners.make(W * (longest + 1)) &&
               starts.make(W * deepest) && sums.make(most_sums);
    }
    real* input(num l, num slot) { return in[l].p + slot * shapes[l].in_size * W; }
    uint8_t* ways(num l, num slot) { return (uint8_t*)way[l].p + slot * shapes[l].way_size * W; }

    // samples (n rows of the data) into the padded first input
    void gather(num slot, const real* data, const num* order, num n) {
        const Shape& g = shapes[0];
        const num size = g.s.cin * g.s.h * g.s.w;
        const real* from[W];
        for (int l = 0; l < W; l++) from[l] = data + order[l < n ? l : 0] * size;
        real* base = input(0, slot);
        for (num c = 0; c < g.s.cin; c++)
            for (num y = 0; y < g.s.h; y++) {
                real* out = base + ((c * g.hp + y + g.s.ph) * g.wp + g.s.pw) * W;
                const num at = (c * g.s.h + y) * g.s.w;
                for (num x = 0; x < g.s.w; x += W) {
                    const num stop = least(W, g.s.w - x);
                    for (int l = 0; l < W; l++)
                        for (num i = 0; i < stop; i++) out[(x + i) * W + l] = from[l][at + x + i];
                }
            }
    }

    // through all layers; the last result goes to out[(c, y, x)][lane] with `lanes` numbers a row
    void forward(num slot, const real* flat, real* const* packed, real* out, num lanes) {
        for (num l = 0; l < count; l++) {
            const Shape& g = shapes[l];
            Target t{};
            t.width = g.ow;
            t.pool = g.s.pool;
            t.relu = g.s.relu;
            t.way = g.s.pool || g.s.relu ? ways(l, slot) : nullptr;
            t.way_channel = g.ch * g.cw * W;
            t.way_row = g.cw * W;
            if (l + 1 < count) {
                const Shape& next = shapes[l + 1];
                t.channel = next.hp * next.wp * W;
                t.row = next.wp * W;
                t.out = input(l + 1, slot) + (next.s.ph * next.wp + next.s.pw) * W;
            } else {
                t.channel = t.way_channel;
                t.row = t.way_row;
                t.out = dout[l].p;  // its gradient comes later: the place is free
            }
            const Window a = {input(l, slot), g.hp * g.wp * W, g.wp * W,          g.s.cin, g.s.kh, g.s.kw,
                              g.s.ph,         g.s.ph + g.s.h,  g.s.pw, g.s.pw + g.s.w};
            convolve<W>(a, packed[l], g.s.bias < 0 ? nullptr : flat + g.s.bias, g.s.cout, g.oh, t);
        }
        const real* last = dout[count - 1].p;
        for (num i = 0; i < shapes[count - 1].way_size; i++) store_row(out + i * lanes, last + i * W);
    }
    static void store_row(real* out, const real* from) { *(typename Lanes<W>::U*)out = load<W>(from); }

    // gradients of the layers from `first` on; slope[(c, y, x)][lane] is that of the result of n samples.
    // What is behind a pool is added to sums[l], all else to `gradient`.
    void backward(num slot, num first, const bool* trained, real* const* turned, const real* slope, num lanes,
                  real* const* sums_of, const real* data, const num* order, num n, real* gradient) {
        for (num i = 0; i < shapes[count - 1].way_size; i++)
            store<W>(dout[count - 1].p + i * W, load_any<W>(slope + i * lanes));
        for (num l = count - 1; l >= first; l--) {
            const Shape& g = shapes[l];
            if (!g.s.pool) {
                spread(l, slot);
                if (trained[l]) weights(l, slot, gradient);
                if (l > first) inputs(l, turned[l]);
                continue;
            }
            strokes(l, slot, n, gradient);
            if (trained[l]) {
                if (l) images(l, slot, n);
                for (num b = 0; b < n; b++) {
                    if (!l) picture(data + order[b] * g.s.cin * g.s.h * g.s.w, image.p);
                    Stretches::weights(of(b), g.s.cout, g.s.kh, image.p + (l ? b * g.image_size : 0), g.wp * g.s.cin,
                                       sums_of[l], g.stretch);
                }
            }
            if (l > first) {
                std::memset(image.p, 0, size_t(n * g.image_size) * sizeof(real));
                for (num b = 0; b < n; b++)
                    Stretches::inputs(of(b), g.s.cout, g.s.kh, image.p + b * g.image_size, g.wp * g.s.cin, turned[l],
                                      g.stretch);
                unpicture(l, n);
            }
        }
    }

    Strokes of(num b) {
        return Strokes{(int32_t*)corners.p + b * longest, (int32_t*)starts.p + b * deepest, slopes_at.p + b * longest};
    }

    // the slopes that are not zero, sample by sample; their sums are the biases' gradients
    void strokes(num l, num slot, num n, real* gradient) {
        const Shape& g = shapes[l];
        const uint8_t* from = ways(l, slot);
        const real* given = dout[l].p;
        const int32_t right = int32_t(g.s.cin), down = int32_t(g.wp * g.s.cin);
        const int32_t shift[5] = {0, right, down, down + right, 0};
        int32_t* const corner = (int32_t*)corners.p;
        int32_t* const start = (int32_t*)starts.p;
        num at[W];
        for (num b = 0; b < n; b++) at[b] = 0;
        for (num c = 0; c < g.s.cout; c++) {
            V sum{};
            for (num b = 0; b < n; b++) start[b * deepest + c] = int32_t(at[b]);
            for (num y = 0; y < g.ch; y++)
                for (num x = 0; x < g.cw; x++, from += W, given += W) {
                    const int32_t base = int32_t((2 * y * g.wp + 2 * x) * g.s.cin);
                    const I way_in = __builtin_convertvector(*(const B*)from, I);
                    sum += way_in == 4 ? V{} : load<W>(given);
                    for (num b = 0; b < n; b++) {
                        const num to = b * longest + at[b];
                        corner[to] = base + shift[from[b]];
                        slopes_at.p[to] = given[b];
                        at[b] += (from[b] < 4) & (given[b] != 0);
                    }
                }
            if (g.s.bias < 0) continue;
            alignas(64) real lanes[W];
            store<W>(lanes, sum);
            gradient[g.s.bias + c] += total<W>(lanes);
        }
        for (num b = 0; b < n; b++) start[b * deepest + g.s.cout] = int32_t(at[b]);
    }

    // a sample of the data (cin, h, w) with the channels innermost, in a frame of zeros
    void picture(const real* from, real* out) {
        const Shape& g = shapes[0];
        std::memset(out, 0, size_t(g.image_size) * sizeof(real));
        for (num y = 0; y < g.s.h; y++) {
            real* row = out + ((y + g.s.ph) * g.wp + g.s.pw) * g.s.cin;
            for (num c = 0; c < g.s.cin; c++)
                for (num x = 0; x < g.s.w; x++) row[x * g.s.cin + c] = from[(c * g.s.h + y) * g.s.w + x];
        }
    }

    // the input of a tile (cin, y, x, W) as one image for each sample
    void images(num l, num slot, num n) {
        const Shape& g = shapes[l];
        const real* from = input(l, slot);
        const num cells = g.hp * g.wp;
        for (num i = 0; i < cells; i++)
            for (num c0 = 0; c0 < g.s.cin; c0 += WIDE)
                for (num b = 0; b < n; b++) {
                    real* out = image.p + b * g.image_size + i * g.s.cin;
                    for (num c = c0; c < least(c0 + WIDE, g.s.cin); c++) out[c] = from[(c * cells + i) * W + b];
                }
    }

    // the images' gradients -> dout of layer l - 1, without the frame; lanes without a sample stay zero
    void unpicture(num l, num n) {
        const Shape& g = shapes[l];
        real* out = dout[l - 1].p;
        std::memset(out, 0, size_t(g.s.cin * g.s.h * g.s.w * W) * sizeof(real));
        for (num y = 0; y < g.s.h; y++)
            for (num x = 0; x < g.s.w; x++) {
                const real* from = image.p + ((y + g.s.ph) * g.wp + x + g.s.pw) * g.s.cin;
                for (num c0 = 0; c0 < g.s.cin; c0 += WIDE)
                    for (num b = 0; b < n; b++)
                        for (num c = c0; c < least(c0 + WIDE, g.s.cin); c++)
                            out[((c * g.s.h + y) * g.s.w + x) * W + b] = from[b * g.image_size + c];
            }
    }

    // dout -> dy: back through ReLU, in a frame of zeros
    void spread(num l, num slot) {
        const Shape& g = shapes[l];
        const num row = (g.ow + 2 * g.qx) * W, channel = (g.oh + 2 * g.qy) * row;
        const uint8_t* from = ways(l, slot);
        const real* given = dout[l].p;
        for (num c = 0; c < g.s.cout; c++)
            for (num y = 0; y < g.oh; y++) {
                real* out = dy[l].p + c * channel + (y + g.qy) * row + g.qx * W;
                for (num x = 0; x < g.ow; x++, from += W, given += W, out += W) {
                    const V v = load<W>(given);
                    const I at = __builtin_convertvector(*(const B*)from, I);
                    store<W>(out, g.s.relu ? (at == 0 ? v : V{}) : v);
                }
            }
    }

    void weights(num l, num slot, real* gradient) {
        const Shape& g = shapes[l];
        const num row = (g.ow + 2 * g.qx) * W, channel = (g.oh + 2 * g.qy) * row;
        const real* slope = dy[l].p + g.qy * row + g.qx * W;
        const num kernel = g.s.kh * g.s.kw, span = g.s.cin * kernel;
        const num high = g.oh, wide = g.ow;
        const Blocks blocks(g.s.cout, SLOPES);
        for (num b = 0; b < blocks.blocks; b++) {
            const num c = blocks.start(b), size = blocks.size(b);
            std::memset(sums.p, 0, size_t(size * span * W) * sizeof(real));
            const num strip = most(1, STRIP / (size * wide * W * num(sizeof(real))));
            for (num y0 = 0; y0 < high; y0 += strip)
                for (num ci = 0; ci < g.s.cin; ci++)
                    for (num ky = 0; ky < g.s.kh; ky++) {
                        const real* rows_in = input(l, slot) + (ci * g.hp + ky) * g.wp * W;
                        const num begin = most(y0, g.s.ph - ky);
                        const num end = least(least(y0 + strip, high), g.s.ph + g.s.h - ky);
                        if (begin >= end) continue;
                        for (num kx = 0; kx < g.s.kw;) {
                            const num left = g.s.kw - kx, columns = left >= 5 ? 5 : left >= 3 ? 3 : 1;
                            Slopes<W>::of(size, columns)(rows_in + kx * W, g.wp * W, slope + c * channel, channel, row,
                                                         begin, end, wide,
                                                         sums.p + (ci * kernel + ky * g.s.kw + kx) * W, span * W);
                            kx += columns;
                        }
                    }
            for (num k = 0; k < size * span; k++) gradient[g.s.weight + c * span + k] += total<W>(sums.p + k * W);
        }
        if (g.s.bias < 0) return;
        for (num c = 0; c < g.s.cout; c++) {
            V sum{};
            for (num y = 0; y < high; y++)
                for (num x = 0; x < wide; x++) sum += load<W>(slope + c * channel + y * row + x * W);
            alignas(64) real lanes[W];
            store<W>(lanes, sum);
            gradient[g.s.bias + c] += total<W>(lanes);
        }
    }

    // dy of layer l -> dout of layer l - 1
    void inputs(num l, const real* turned) {
        const Shape& g = shapes[l];
        const num row = (g.ow + 2 * g.qx) * W;
        const Window a = {dy[l].p, (g.oh + 2 * g.qy) * row, row,  g.s.cout, g.s.kh,
                          g.s.kw,  g.qy,                    g.qy + g.oh, g.qx,     g.qx + g.ow};
        Target t{};
        t.out = dout[l - 1].p;
        t.channel = g.s.h * g.s.w * W;
        t.row = g.s.w * W;
        t.width = g.s.w;
        convolve<W>(a, turned, nullptr, g.s.cin, g.s.h, t);
    }
};

// ---- linear layers ----------------------------------------------------------------------------------------

// out[o][lanes] = bias[o] + sum_i weights[o * so + i * si] * in[i][lanes], for N wide vectors and M narrow ones
template <int O, int N, int M>
void product(const real* weights, num so, num si, const real* in, num lanes, num count, const real* bias, real* out,
             bool relu) {
    typedef typename Lanes<WIDE>::V V;
    typedef typename Lanes<NARROW>::V H;
    V acc[O][N + 1];
    H tail[O];
    for (int o = 0; o < O; o++) {
        for (int n = 0; n < N; n++) acc[o][n] = all<WIDE>(bias ? bias[o] : real(0));
        if (M) tail[o] = all<NARROW>(bias ? bias[o] : real(0));
    }
    for (num i = 0; i < count; i++, in += lanes, weights += si) {
        V v[N + 1];
        H h{};
        for (int n = 0; n < N; n++) v[n] = load_any<WIDE>(in + n * WIDE);
        if (M) h = load_any<NARROW>(in + N * WIDE);
        for (int o = 0; o < O; o++) {
            const real w = weights[o * so];
            const V b = all<WIDE>(w);
            for (int n = 0; n < N; n++) acc[o][n] += b * v[n];
            if (M) tail[o] += all<NARROW>(w) * h;
        }
    }
    for (int o = 0; o < O; o++) {
        for (int n = 0; n < N; n++) {
            const V v = acc[o][n];
            *(typename Lanes<WIDE>::U*)(out + o * lanes + n * WIDE) = relu ? (v <= V{} ? V{} : v) : v;
        }
        if (M) {
            const H v = tail[o];
            *(typename Lanes<NARROW>::U*)(out + o * lanes + N * WIDE) = relu ? (v <= H{} ? H{} : v) : v;
        }
    }
}

const num GROUP = MANY ? 4 : 2;  // vectors of samples at once, for 6 outputs

struct Product {
    typedef void (*Run)(const real*, num, num, const real*, num, num, const real*, real*, bool);
    template <int O> static Run pick(num n, num m) {
        static const Run table[] = {product<O, 1, 0>, product<O, 2, 0>, product<O, 3, 0>, product<O, 4, 0>,
                                    product<O, 0, 1>, product<O, 1, 1>, product<O, 2, 1>, product<O, 3, 1>};
        return m ? table[4 + n] : table[n - 1];
    }
    static void run(const real* weights, num so, num si, const real* in, num lanes, num count, const real* bias,
                    real* out, num outs, bool relu) {
        for (num at = 0; at < lanes;) {
            num n = least(GROUP, (lanes - at) / WIDE), m = 0;
            if (n < GROUP && lanes - at > n * WIDE) m = 1;
            for (num o = 0; o < outs;) {
                const num left = outs - o, size = left >= 6 ? 6 : left >= 2 ? 2 : 1;
                const Run go = size == 6 ? pick<6>(n, m) : size == 2 ? pick<2>(n, m) : pick<1>(n, m);
                go(weights + o * so, so, si, in + at, lanes, count, bias ? bias + o : nullptr, out + o * lanes + at, relu);
                o += size;
            }
            at += n * WIDE + m * NARROW;
        }
    }
};

// gradient[o][i] = sum_b slope[o][b] * rows[b][i] for O outputs and N vectors of i
template <int O, int N>
void outer(const real* slope, num lanes, const real* given, num stride, num batch, real* out, num inputs, num left) {
    typedef typename Lanes<WIDE>::V V;
    V acc[O][N];
    for (int o = 0; o < O; o++)
        for (int n = 0; n < N; n++) acc[o][n] = V{};
    for (num b = 0; b < batch; b++, given += stride) {
        V v[N];
        for (int n = 0; n < N; n++) v[n] = load<WIDE>(given + n * WIDE);
        for (int o = 0; o < O; o++) {
            const V s = all<WIDE>(slope[o * lanes + b]);
            for (int n = 0; n < N; n++) acc[o][n] += s * v[n];
        }
    }
    for (int o = 0; o < O; o++)
        for (int n = 0; n < N; n++) {
            real* to = out + o * inputs + n * WIDE;
            if ((n + 1) * WIDE <= left) {
                *(typename Lanes<WIDE>::U*)to = acc[o][n];
            } else {
                for (num l = 0; l < left - n * WIDE; l++) to[l] = acc[o][n][l];
            }
        }
}

const int COLUMNS = MANY ? 6 : 3;  // vectors of inputs at once, for 4 outputs

struct Outer {
    typedef void (*Run)(const real*, num, const real*, num, num, real*, num, num);
    template <int O> static Run pick(num n) { return n == COLUMNS ? outer<O, COLUMNS> : n == 2 ? outer<O, 2> : outer<O, 1>; }
    static void run(const real* slope, num lanes, const real* given, num stride, num batch, real* out, num outs,
                    num inputs) {
        for (num o = 0; o < outs;) {
            const num more = outs - o, size = more >= 4 ? 4 : more >= 2 ? 2 : 1;
            for (num i = 0; i < inputs;) {
                const num vectors = (inputs - i + WIDE - 1) / WIDE, n = vectors >= COLUMNS ? COLUMNS : vectors >= 2 ? 2 : 1;
                const Run go = size == 4 ? pick<4>(n) : size == 2 ? pick<2>(n) : pick<1>(n);
                go(slope + o * lanes, lanes, given + i, stride, batch, out + o * inputs + i, inputs, inputs - i);
                i += n * WIDE;
            }
            o += size;
        }
    }
};

// (count, lanes) -> (lanes, stride), a square at a time so that no line is fetched twice
void transpose(const real* in, num count, num lanes, real* out, num stride) {
    for (num i = 0; i < count; i += WIDE)
        for (num b = 0; b < lanes; b += WIDE) {
            const num di = least(WIDE, count - i), db = least(WIDE, lanes - b);
            for (num r = 0; r < db; r++)
                for (num c = 0; c < di; c++) out[(b + r) * stride + i + c] = in[(i + c) * lanes + b + r];
        }
}

// ---- a network --------------------------------------------------------------------------------------------

struct Sgd {
    double lr, clip, decay, momentum;
};

struct Plan {
    num convs = 0, linears = 0, batch = 0, inputs = 0, classes = 0, d = 0;
    Shape shapes[DEEPEST];
    Layer linear[DEEPEST];
    Convolutions<WIDE> wide;
    Convolutions<NARROW> narrow;
    Buffer packed[DEEPEST], turned[DEEPEST], sums[DEEPEST];
    Buffer act[DEEPEST + 1], slope[DEEPEST + 1], given[DEEPEST];

    bool make(num count, const Layer* layers, num largest, num size) {
        batch = largest;
        d = size;
        for (num l = 0; l < count; l++) {
            if (layers[l].conv) {
                if (convs == DEEPEST || linears) return false;
                shapes[convs++].set(layers[l]);
            } else {
                if (linears == DEEPEST) return false;
                linear[linears++] = layers[l];
            }
        }
        if (!linears) return false;
        inputs = convs ? shapes[0].s.cin * shapes[0].s.h * shapes[0].s.w : linear[0].cin;
        classes = linear[linears - 1].cout;
        const num tiles = (batch + WIDE - 1) / WIDE, lanes = tiles * WIDE;
        if (convs && !(wide.make(convs, shapes, tiles) && narrow.make(convs, shapes, 1))) return false;
        for (num l = 0; l < convs; l++) {
            const Layer& s = shapes[l].s;
            const num weights = s.cout * s.cin * s.kh * s.kw;
            const num stretched = s.pool ? s.cout * s.kh * shapes[l].stretch : 0;
            if (!(packed[l].make(weights) && turned[l].make(most(weights, stretched)) && sums[l].make(stretched)))
                return false;
        }
        for (num l = 0; l < linears; l++) {
            if (!(act[l].make(linear[l].cin * lanes) && slope[l].make(linear[l].cin * lanes))) return false;
            if (!given[l].make(lanes * up(linear[l].cin, WIDE))) return false;
        }
        return act[linears].make(classes * lanes) && slope[linears].make(classes * lanes);
    }

    // the loss of n samples, summed; with `gradient` also the gradient of its mean, of the layers that move
    double pass(const real* flat, const real* data, const num* labels, const num* order, num n, const real* offset,
                const bool* moving, real* gradient) {
        num full = n / WIDE, rest = n - full * WIDE;
        if (rest > NARROW || (rest && NARROW == WIDE)) {
            full++;
            rest = 0;
        }
        const num lanes = full * WIDE + (rest ? NARROW : 0);
        real *weights[DEEPEST], *back[DEEPEST], *slopes_of[DEEPEST];
        for (num l = 0; l < convs; l++) {
            const Layer& s = shapes[l].s;
            pack(s, flat + s.weight, weights[l] = packed[l].p);
            back[l] = turned[l].p;
            slopes_of[l] = sums[l].p;
        }
        if (convs) {
            for (num t = 0; t < full; t++) {
                wide.gather(t, data, order + t * WIDE, least(WIDE, n - t * WIDE));
                wide.forward(t, flat, weights, act[0].p + t * WIDE, lanes);
            }
            if (rest) {
                narrow.gather(0, data, order + full * WIDE, rest);
                narrow.forward(0, flat, weights, act[0].p + full * WIDE, lanes);
            }
        } else {
            const num stride = up(inputs, WIDE);
            for (num b = 0; b < lanes; b++)
                std::memcpy(given[0].p + b * stride, data + order[b < n ? b : 0] * inputs, size_t(inputs) * sizeof(real));
            for (num i = 0; i < inputs; i += WIDE)
                for (num b = 0; b < lanes; b++)
                    for (num k = i; k < least(i + WIDE, inputs); k++) act[0].p[k * lanes + b] = given[0].p[b * stride + k];
        }
        for (num l = 0; l < linears; l++) {
            const Layer& s = linear[l];
            Product::run(flat + s.weight, s.cin, 1, act[l].p, lanes, s.cin, s.bias < 0 ? nullptr : flat + s.bias,
                         act[l + 1].p, s.cout, s.relu);
        }
        const double loss = losses(labels, order, n, lanes, offset, gradient != nullptr);
        if (!gradient) return loss;
        num first = 0;
        while (first < convs + linears && !moving[first]) first++;
        for (num l = linears - 1; l >= 0 && convs + l >= first; l--) {
            const Layer& s = linear[l];
            if (s.relu)
                for (num i = 0; i < s.cout * lanes; i++) slope[l + 1].p[i] = act[l + 1].p[i] > 0 ? slope[l + 1].p[i] : real(0);
            if (moving[convs + l]) {
                const num stride = up(s.cin, WIDE);
                if (l || convs) transpose(act[l].p, s.cin, lanes, given[l].p, stride);
                Outer::run(slope[l + 1].p, lanes, given[l].p, stride, n, gradient + s.weight, s.cout, s.cin);
                if (s.bias >= 0)
                    for (num o = 0; o < s.cout; o++) {
                        real sum = 0;
                        for (num b = 0; b < n; b++) sum += slope[l + 1].p[o * lanes + b];
                        gradient[s.bias + o] = sum;
                    }
            }
            if (convs + l > first)
                Product::run(flat + s.weight, 1, s.cin, slope[l + 1].p, lanes, s.cout, nullptr, slope[l].p, s.cin, false);
        }
        if (first >= convs) return loss;
        for (num l = first; l < convs; l++) {
            const Layer& s = shapes[l].s;
            const num stretch = shapes[l].stretch;
            if (l > first && s.pool) pack_stretches(s, stretch, flat + s.weight, back[l]);
            if (l > first && !s.pool) pack_turned(s, flat + s.weight, back[l]);
            if (s.pool) std::memset(slopes_of[l], 0, size_t(s.cout * s.kh * stretch) * sizeof(real));
            if (!s.pool) std::memset(gradient + s.weight, 0, size_t(s.cout * s.cin * s.kh * s.kw) * sizeof(real));
            if (s.bias >= 0) std::memset(gradient + s.bias, 0, size_t(s.cout) * sizeof(real));
        }
        for (num t = 0; t < full; t++)
            wide.backward(t, first, moving, back, slope[0].p + t * WIDE, lanes, slopes_of, data, order + t * WIDE,
                          least(WIDE, n - t * WIDE), gradient);
        if (rest)
            narrow.backward(0, first, moving, back, slope[0].p + full * WIDE, lanes, slopes_of, data,
                            order + full * WIDE, rest, gradient);
        for (num l = first; l < convs; l++)
            if (shapes[l].s.pool && moving[l])
                unpack_stretches(shapes[l].s, shapes[l].stretch, slopes_of[l], gradient + shapes[l].s.weight);
        return loss;
    }

    // softmax cross-entropy: the sum of n losses; slopes of their mean, zero in lanes without a sample
    double losses(const num* labels, const num* order, num n, num lanes, const real* offset, bool back) {
        const real* logits = act[linears].p;
        real* out = slope[linears].p;
        double sum = 0;
        for (num b = 0; b < n; b++) {
            real peak = logits[b] + (offset ? offset[0] : real(0));
            for (num c = 0; c < classes; c++) {
                const real v = logits[c * lanes + b] + (offset ? offset[c] : real(0));
                out[c * lanes + b] = v;
                if (!(v <= peak)) peak = v;
            }
            real mass = 0;
            const num label = labels[order[b]];
            const real own = out[label * lanes + b];
            for (num c = 0; c < classes; c++) mass += out[c * lanes + b] = std::exp(out[c * lanes + b] - peak);
            sum += double(std::log(mass) - (own - peak));
            const real scale = real(1) / mass, share = real(1) / real(n);
            for (num c = 0; c < classes; c++)
                out[c * lanes + b] = (out[c * lanes + b] * scale - (c == label ? real(1) : real(0))) * share;
        }
        if (back)
            for (num c = 0; c < classes; c++)
                for (num b = n; b < lanes; b++) out[c * lanes + b] = 0;
        return sum;
    }
};

// which layers a step moves: those of which a run holds a weight
void moving(const Plan& plan, const num* runs, num count, bool* out) {
    for (num l = 0; l < plan.convs + plan.linears; l++) {
        const Layer& s = l < plan.convs ? plan.shapes[l].s : plan.linear[l - plan.convs];
        const num size = s.cout * s.cin * (s.conv ? s.kh * s.kw : 1);
        out[l] = false;
        for (num r = 0; r < count; r++) {
            const num a = runs[2 * r], b = runs[2 * r + 1];
            if (a < s.weight + size && b > s.weight) out[l] = true;
            if (s.bias >= 0 && a < s.bias + s.cout && b > s.bias) out[l] = true;
        }
    }
}

void clip(real* gradient, const num* runs, num count, double limit) {
    double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0}, square = 0;
    for (num r = 0; r < count; r++)
        for (num i = runs[2 * r]; i < runs[2 * r + 1]; i++) sums[i & 7] += double(gradient[i]) * double(gradient[i]);
    for (double one : sums) square += one;
    const double norm = std::sqrt(square);
    if (norm <= limit) return;
    const real factor = real(limit / norm);
    for (num r = 0; r < count; r++)
        for (num i = runs[2 * r]; i < runs[2 * r + 1]; i++) gradient[i] *= factor;
}

// + a * flat + b: a part's correction, where it is of this form
void pull(real* gradient, const real* flat, const num* runs, num count, real a, const real* b) {
    for (num r = 0; r < count; r++)
        for (num i = runs[2 * r]; i < runs[2 * r + 1]; i++) gradient[i] += a * flat[i] + b[i];
}

void step(real* flat, const real* way, real* velocity, const num* runs, num count, const Sgd& sgd) {
    const real lr = real(sgd.lr), decay = real(sgd.decay), momentum = real(sgd.momentum);
    for (num r = 0; r < count; r++) {
        const num a = runs[2 * r], b = runs[2 * r + 1];
        if (momentum > 0)
            for (num i = a; i < b; i++) {
                velocity[i] = momentum * velocity[i] + (way[i] + decay * flat[i]);
                flat[i] -= lr * velocity[i];
            }
        else if (decay > 0)
            for (num i = a; i < b; i++) flat[i] -= lr * (way[i] + decay * flat[i]);
        else
            for (num i = a; i < b; i++) flat[i] -= lr * way[i];
    }
}

}  // namespace

extern "C" {

// Numbers in a wide tile, to be printed.
int64_t disue_width() { return WIDE; }

// Room for batches of up to `batch` samples of a network with d weights; null where memory is short.
void* disue_plan(int64_t layers, const int64_t* given, int64_t batch, int64_t d) {
    Plan* plan = (Plan*)std::aligned_alloc(64, size_t(up(num(sizeof(Plan)), 64)));
    if (!plan) return nullptr;
    new ((void*)plan) Plan();
    if (plan->make(layers, (const Layer*)given, batch, d)) return plan;
    plan->~Plan();
    std::free(plan);
    return nullptr;
}

void disue_free(void* plan) {
    if (!plan) return;
    ((Plan*)plan)->~Plan();
    std::free(plan);
}

// The clipped gradient of a batch's mean loss, zero outside the runs; gives the sum of the losses.
double disue_gradient(void* plan, const REAL* flat, const REAL* data, const int64_t* labels, const int64_t* order,
                      int64_t n, const REAL* offset, const int64_t* runs, int64_t count, double limit,
                      REAL* gradient) {
    Plan& p = *(Plan*)plan;
    bool moves[2 * DEEPEST];
    moving(p, runs, count, moves);
    const double loss = p.pass(flat, data, labels, order, n, offset, moves, gradient);
    num at = 0;
    for (num r = 0; r <= count; r++) {
        const num stop = r < count ? runs[2 * r] : p.d;
        std::memset(gradient + at, 0, size_t(stop - at) * sizeof(real));
        if (r < count) at = runs[2 * r + 1];
    }
    if (limit > 0) clip(gradient, runs, count, limit);
    return loss;
}

// + weight decay -> momentum -> step, along `way`.
void disue_step(REAL* flat, const REAL* way, REAL* velocity, const int64_t* runs, int64_t count, const double* sgd) {
    step(flat, way, velocity, runs, count, *(const Sgd*)sgd);
}

// All steps of a phase: step t takes the next sizes[t] samples of `order`. Gives the sum of all losses.
// Where `shift` is given, a * flat + shift is added to every clipped gradient.
double disue_phase(void* plan, REAL* flat, const REAL* data, const int64_t* labels, const int64_t* order,
                   const int64_t* sizes, int64_t steps, const REAL* offset, const int64_t* runs, int64_t count,
                   const double* given, double a, const REAL* shift, REAL* gradient, REAL* velocity) {
    Plan& p = *(Plan*)plan;
    const Sgd& sgd = *(const Sgd*)given;
    bool moves[2 * DEEPEST];
    moving(p, runs, count, moves);
    double loss = 0;
    for (num t = 0; t < steps; order += sizes[t++]) {
        loss += p.pass(flat, data, labels, order, sizes[t], offset, moves, gradient);
        if (sgd.clip > 0) clip(gradient, runs, count, sgd.clip);
        if (shift) pull(gradient, flat, runs, count, real(a), shift);
        step(flat, gradient, velocity, runs, count, sgd);
    }
    return loss;
}
}
