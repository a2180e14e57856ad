// AdamW in one pass, norms of and a factor for many tensors at once.

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

#include "common.h"

using shim::guard;
using shim::list;
using shim::Tensor;

namespace {

// The kernel walks the memory of all four tensors side by side and looks at nothing but its length.
bool lie_alike(const Tensor& a, const Tensor& b) {
  return a.strides() == b.strides() || (a.is_contiguous() && b.is_contiguous());
}

void check_alike(const Tensor& tensor, const Tensor& parameter, const Tensor& first, const char* what) {
  TORCH_CHECK(tensor.sizes() == parameter.sizes(), what, " has shape ", tensor.sizes(), ", the parameter ",
              parameter.sizes());
  TORCH_CHECK(tensor.scalar_type() == first.scalar_type() && tensor.device() == first.device(), what, " is ",
              tensor.scalar_type(), " on ", tensor.device(), ", the first parameter ", first.scalar_type(), " on ",
              first.device());
}

// How many elements a norm on the CPU is taken of at once: so few that a running sum of their squares in float32 loses
// nothing to speak of. For the short types libtorch sums in fewer lanes.
int64_t piece(const Tensor& tensor) { return tensor.element_size() < 4 ? 4096 : 8192; }

// As in src/ffi.rs.
struct AdamWNumbers {
  double lr, beta_1, beta_2, weight_decay, eps, step;
};

}  // namespace

extern "C" {

char* shim_adamw(Tensor* const* parameters, Tensor* const* gradients, Tensor* const* exp_avgs,
                 Tensor* const* exp_avg_sqs, size_t n, AdamWNumbers numbers) {
  return guard([&] {
    if (n == 0) return;
    at::NoGradGuard no_grad;
    auto p = list(parameters, n), g = list(gradients, n), m = list(exp_avgs, n), v = list(exp_avg_sqs, n);
    for (size_t i = 0; i < n; i++) {
      TORCH_CHECK(p[i].is_floating_point() && p[i].is_non_overlapping_and_dense(),
                  "a parameter is not a dense tensor of a floating type");
      check_alike(p[i], p[i], p[0], "a parameter");
      check_alike(g[i], p[i], p[0], "a gradient");
      check_alike(m[i], p[i], p[0], "exp_avg");
      check_alike(v[i], p[i], p[0], "exp_avg_sq");
      TORCH_CHECK(lie_alike(m[i], p[i]) && lie_alike(v[i], p[i]), "a moment lies in memory otherwise than its parameter");
      if (!lie_alike(g[i], p[i])) g[i] = at::empty_like(p[i]).copy_(g[i]);
    }
    const auto step = at::full({}, numbers.step, p[0].options().dtype(at::kFloat));
    const std::vector<Tensor> steps(n, step);
    at::_fused_adamw_(p, g, m, v, /*max_exp_avg_sqs=*/{}, steps, numbers.lr, numbers.beta_1, numbers.beta_2,
                      numbers.weight_decay, numbers.eps, /*amsgrad=*/false, /*maximize=*/false);
  });
}

// `*result`: `[n]`, float64, on the tensors' device.
char* shim_norms(Tensor* const* tensors, size_t n, Tensor** result) {
  return guard([&] {
    at::NoGradGuard no_grad;
    TORCH_CHECK(n > 0, "there is no tensor to measure");
    std::vector<Tensor> pieces;
    std::vector<int64_t> n_pieces;
    for (const Tensor& tensor : list(tensors, n)) {
      // On the CPU a norm is a running sum in the tensor's own type; on a GPU it is a tree.
      const auto parts = tensor.is_cpu() ? tensor.contiguous().view(-1).split(piece(tensor)) : std::vector<Tensor>{tensor};
      n_pieces.push_back(static_cast<int64_t>(parts.size()));
      pieces.insert(pieces.end(), parts.begin(), parts.end());
    }
    const auto type = pieces[0].scalar_type();
    const auto norms = at::stack(at::_foreach_norm(pieces, 2, type == at::kDouble ? at::kDouble : at::kFloat));
    if (pieces.size() == n) {
      *result = new Tensor(norms.to(at::kDouble));
      return;
    }
    const auto by_tensor = norms.to(at::kDouble).split_with_sizes(n_pieces);
    std::vector<Tensor> joined;
    for (const Tensor& of_pieces : by_tensor) joined.push_back(at::linalg_vector_norm(of_pieces));
    *result = new Tensor(at::stack(joined));
  });
}

char* shim_scale(Tensor* const* tensors, size_t n, double factor) {
  return guard([&] {
    if (n == 0) return;
    at::NoGradGuard no_grad;
    at::_foreach_mul_(list(tensors, n), factor);
  });
}

}  // extern "C"
