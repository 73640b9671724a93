// Times the elementwise kernels of one ISA over operands that no cache holds, block by block as the drivers call them.
//
// Usage: elementwise BLOCK THREADS. Prints a line `name nanoseconds-per-element` for each kernel, least of the repeats. Built
// by sweep.py, once for each value of a constant of the headers.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "ndloss/kernels_elementwise.hpp"
#include "ndloss/losses/binary_cross_entropy_with_logits.hpp"
#include "ndloss/losses/mse.hpp"

#include <sys/mman.h>

namespace {

using Clock = std::chrono::steady_clock;
using Kernels = ndloss::ElementwiseKernels<float>;

constexpr std::ptrdiff_t elements = std::ptrdiff_t{1} << 24;
constexpr int repeats = 12;

float* numbers(std::size_t count, unsigned seed) {
  constexpr std::size_t page = std::size_t{1} << 21;
  auto* data = static_cast<float*>(std::aligned_alloc(page, (count * sizeof(float) + page - 1) / page * page));
  if (data == nullptr) {
    std::abort();
  }
  madvise(data, count * sizeof(float), MADV_HUGEPAGE);
  std::minstd_rand generator(seed);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (std::size_t i = 0; i < count; ++i) {
    data[i] = uniform(generator);
  }
  return data;
}

struct Data {
  float* x = numbers(elements, 1);
  float* y = numbers(elements, 2);
  float* grad = numbers(elements, 3);
};

double pass(Kernels::Kernel kernel, const void* loss, const Data& data, std::ptrdiff_t block, int threads) {
  std::vector<double> sums(static_cast<std::size_t>(threads));
  const auto start = Clock::now();
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      double sum = 0;
      const std::ptrdiff_t end = elements / threads * (t + 1);
      for (std::ptrdiff_t i = elements / threads * t; i < end; i += block) {
        ndloss::ElementwiseBlock<float> one{};
        one.operand[0] = data.x + i;
        one.operand[1] = data.y + i;
        one.grad[0] = data.grad + i;
        one.scale = 1;
        one.size = std::min(block, end - i);
        sum += kernel(loss, one).sum;
      }
      sums[static_cast<std::size_t>(t)] = sum;
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (const double sum : sums) {
    if (!(sum > 0)) {
      std::abort();
    }
  }
  return seconds;
}

void report(const char* name, Kernels::Kernel kernel, const void* loss, const Data& data, std::ptrdiff_t block, int threads) {
  double best = std::numeric_limits<double>::infinity();
  for (int r = 0; r < repeats; ++r) {
    best = std::min(best, pass(kernel, loss, data, block, threads));
  }
  std::printf("%s %.4f\n", name, best / static_cast<double>(elements) * 1e9);
}

}  // namespace

int main(int, char** argv) {
  const std::ptrdiff_t block = std::atoi(argv[1]);
  const int threads = std::atoi(argv[2]);
  const Data data;
  const ndloss::MSELoss mse;
  const ndloss::BCEWithLogitsLoss bce;
  using namespace ndloss::NDLOSS_ISA;
  report("mse", elementwise_kernels<ndloss::MSELoss, float>.sum, &mse, data, block, threads);
  report("mse+gradient", elementwise_kernels<ndloss::MSELoss, float>.gradient, &mse, data, block, threads);
  report("bce_with_logits", elementwise_kernels<ndloss::BCEWithLogitsLoss, float>.sum, &bce, data, block, threads);
}
