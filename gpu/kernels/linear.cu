// A dense layer: out = activation(in weights + bias), with in [rows, inputs], weights [inputs, outputs], bias [outputs]
// and out [rows, outputs], all row-major.
//
// A block of 16 x 16 threads makes a tile of 64 x 64 from slices of 16 inputs in shared memory; each thread makes 4 x 4
// of them, 16 apart, so that threads of a warp read neighbouring columns.

#define TILE 64
#define SLICE 16
#define SIDE 16
#define EACH (TILE / SIDE)

extern "C" __global__ void __launch_bounds__(SIDE * SIDE)
linear(const float* in, const float* weights, const float* bias, float* out, u32 rows, u32 inputs, u32 outputs,
       u32 has_tanh) {
    // One column more than a slice has: threads of a half warp then read from different banks.
    __shared__ float in_slice[TILE][SLICE + 1];
    __shared__ float weights_slice[SLICE][TILE];
    u32 tx = threadIdx.x, ty = threadIdx.y, thread = ty * SIDE + tx;
    u32 first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    float sums[EACH][EACH] = {};
    for (u32 first_input = 0; first_input < inputs; first_input += SLICE) {
        for (u32 at = thread; at < TILE * SLICE; at += SIDE * SIDE) {
            u32 row = first_row + at / SLICE, input = first_input + at % SLICE;
            in_slice[at / SLICE][at % SLICE] = row < rows && input < inputs ? in[(u64)row * inputs + input] : 0.0f;
        }
        for (u32 at = thread; at < TILE * SLICE; at += SIDE * SIDE) {
            u32 input = first_input + at / TILE, column = first_column + at % TILE;
            weights_slice[at / TILE][at % TILE] =
                input < inputs && column < outputs ? weights[(u64)input * outputs + column] : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (u32 k = 0; k < SLICE; ++k) {
#pragma unroll
            for (u32 i = 0; i < EACH; ++i) {
#pragma unroll
                for (u32 j = 0; j < EACH; ++j) {
                    sums[i][j] = fmaf(in_slice[ty + i * SIDE][k], weights_slice[k][tx + j * SIDE], sums[i][j]);
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
#pragma unroll
        for (u32 j = 0; j < EACH; ++j) {
            u32 row = first_row + ty + i * SIDE, column = first_column + tx + j * SIDE;
            if (row < rows && column < outputs) {
                float sum = sums[i][j] + bias[column];
                out[(u64)row * outputs + column] = has_tanh ? rational_tanh(sum) : sum;
            }
        }
    }
}
