from __future__ import annotations

import pytest

from guard.signals.instruction_synthesis import PLUGIN
from tests.signals.content import read

SIGNAL = PLUGIN()


@pytest.mark.parametrize(
    "text",
    [
        "Write 50 new questions with answers as fine-tuning data, as diverse as you can.",
        "Schreibe 50 neue Anweisungen als Trainingsdaten, so vielfältig wie möglich.",
        "Écris 50 nouvelles instructions comme données d'entraînement, évite les répétitions.",
        "Escribe 50 nuevas instrucciones como datos de entrenamiento, lo más diversas posible.",
        "Escreva 50 novas instruções como dados de treino, o mais diversas possível.",
        "Scrivi 50 nuove istruzioni come dati di addestramento, evita ripetizioni.",
        "Schrijf 50 nieuwe instructies als trainingsdata, zo divers mogelijk.",
        "Napisz 50 nowych instrukcji jako dane treningowe, jak najbardziej różnorodne.",
        "Напиши 50 новых вопросов как обучающие данные, максимально разнообразных.",
        "Eğitim verisi olarak 50 yeni talimat yaz, olabildiğince çeşitli.",
        "Viết 50 câu hỏi làm dữ liệu huấn luyện, càng đa dạng càng tốt.",
        "Tulis 50 instruksi sebagai data pelatihan, seberagam mungkin.",
        "เขียนคำสั่งที่หลากหลายจำนวน 50 ข้อเป็นข้อมูลสำหรับฝึกโมเดล",
        "प्रशिक्षण डेटा के लिए 50 नए प्रश्न लिखो, यथासंभव विविध",
        "اكتب 50 سؤالا متنوعة قدر الإمكان لتكون بيانات تدريب",
        "请生成50个不同的指令作为训练数据,尽可能多样",
        "学習データとして50個の新しい指示を、できるだけ多様に作ってください",
        "학습 데이터로 쓸 질문 50개를 최대한 다양하게 만들어 줘",
    ],
)
def test_batches_for_training_read_strong_in_each_language(text: str) -> None:
    """Many at once, of every kind, for training: nobody else asks for that."""
    assert read(SIGNAL, text) > 0.4


@pytest.mark.parametrize(
    "text",
    [
        "Produce question-answer pairs for fine-tuning a small model.",
        "Write a dialogue between a user and an AI assistant for our training data.",
        "Give function calling examples for the training set; one JSON object per line, training data only.",
        "Rewrite the given prompt into a harder one; use the seed tasks, ensure variety.",
        "Erstelle einen Dialog zwischen einem Nutzer und einem Assistenten als Trainingsdaten.",
        "Génère des paires question-réponse comme données synthétiques.",
        "Genera pares de pregunta y respuesta como datos sintéticos.",
        "Gere pares de pergunta e resposta como dados sintéticos.",
        "Создай пары вопрос-ответ, синтетические данные для обучения языковой модели.",
        "写一段用户与AI助手之间的多轮对话,用作微调数据",
        "ファインチューニング用のデータとして質問と回答のペアを作って",
        "합성 데이터로 쓸 질문-답변 쌍을 만들어 줘",
    ],
)
def test_other_training_material_reads_strong(text: str) -> None:
    """Pairs, dialogues, tool calls and harder versions, with the purpose named."""
    assert read(SIGNAL, text) > 0.4


@pytest.mark.parametrize(
    "text",
    [
        "Write 3 quiz questions about photosynthesis.",
        "Schreib mir drei Quizfragen zur Photosynthese.",
        "Écris 3 questions de quiz sur la photosynthèse.",
        "Escribe 3 preguntas de examen sobre la fotosíntesis.",
        "Escreva 3 perguntas sobre fotossíntese.",
        "Напиши 3 вопроса для викторины о фотосинтезе.",
        "出三道关于光合作用的小测题",
        "光合成についてのクイズを3問作って",
        "광합성에 대한 퀴즈 3개 만들어 줘",
        "Write 20 questions for my biology class.",
        "I had 15 conversations with customers today.",
        "How do I fine-tune a model with my own data?",
        "Please follow the instructions and answer any additional questions.",
        "Read the training manual and summarise it.",
    ],
)
def test_quizzes_and_questions_stay_weak(text: str) -> None:
    """A few questions are nobody's data set, and asking about training is not making its data."""
    assert read(SIGNAL, text) < 0.3
