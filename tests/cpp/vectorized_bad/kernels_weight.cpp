// Everything that a kernel's loop must not be, under the names of kernels; check_vectorized.py has to say so.
#include <cmath>
#include <cstddef>

namespace ndloss::bad {
namespace {

using Four = float __attribute__((vector_size(16)));

[[gnu::noinline]] float formula(float x) { return x * x; }

void choose(float* x, std::ptrdiff_t size) {
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    x[i] = 2.0F * formula(x[i]);
  }
}

void guard(float* x, std::ptrdiff_t size) {
  Four sum = {};
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    sum = sum * sum + reinterpret_cast<const Four*>(x)[i];
  }
  *reinterpret_cast<Four*>(x) = sum;
}

void multiply(float* x, std::ptrdiff_t size) {
  for (std::ptrdiff_t i = 1; i < size; ++i) {
    x[i] *= x[i - 1];
  }
}

void product(float* x, std::ptrdiff_t size) {
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    x[i] = std::exp(x[i]);
  }
}

}  // namespace

using Kernel = void (*)(float*, std::ptrdiff_t);
extern const Kernel table[];
const Kernel table[] = {choose, guard, multiply, product};

}  // namespace ndloss::bad
